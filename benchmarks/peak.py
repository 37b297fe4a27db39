"""The peak of the machine: matrix products in each arithmetic, by the fastest library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import ValueInfoProto, helper

from benchmarks.table import Row
from benchmarks.timing import interleave
from sat2map.runtime.cpu import processor

SIDES = (1024, 2048)
Product = Callable[[], object]


def peak_rows(
    threads: int,
    *,
    rounds: int,
    sides: Sequence[int] = SIDES,
    skip: Callable[[str], None] = lambda text: None,
) -> list[Row]:
    """Multiply square matrices with each library at each size; return a row an arithmetic.

    A row has the library and size that came fastest in any round, in 1e9 operations a second (a
    multiplication and an addition are two). No one library is best at everything: MKL is slow on processors
    that its maker did not make, and ONNX Runtime multiplies no bf16. Products that the processor emulates
    take minutes, and are left out: `skip` is told of them.
    """
    torch.set_num_threads(threads)
    for kind, is_in_hardware in (
        ("bf16", processor().multiplies_bf16),
        ("int8", processor().multiplies_int8),
    ):
        if not is_in_hardware:
            skip(f"products in {kind}: this processor has none in hardware")
    products = {
        (kind, f"{library}, {side} x {side}"): (product, side)
        for side in sides
        for kind, library, product in _products(side, threads)
    }
    seconds = interleave({name: product for name, (product, _) in products.items()}, rounds=rounds, warm_up=2)
    rates = {name: [2 * side**3 / 1e9 / s for s in seconds[name]] for name, (_, side) in products.items()}
    rows = []
    for kind in dict.fromkeys(kind for kind, _ in products):
        best = max((name for name in rates if name[0] == kind), key=lambda name: max(rates[name]))
        rows.append(Row.of("Matrix product", kind, rates[best], "GOP/s", note=best[1]))
    return rows


def _products(side: int, threads: int) -> list[tuple[str, str, Product]]:
    random = np.random.default_rng(0)
    full = random.standard_normal((side, side), dtype=np.float32)
    signed = random.integers(-128, 128, (side, side), dtype=np.int8)
    unsigned = random.integers(0, 256, (side, side), dtype=np.uint8)
    full_torch, signed_torch = torch.from_numpy(full), torch.from_numpy(signed)
    half_torch = full_torch.bfloat16()
    by_openvino = bool(find_spec("openvino"))
    found: list[tuple[str, str, Product]] = [
        ("fp32", "PyTorch", lambda: full_torch @ full_torch),
        ("fp32", "ONNX Runtime", _by_onnx("MatMul", full, full, threads)),
    ]
    if by_openvino:
        found += [("fp32", "OpenVINO", _by_openvino(full, threads, "f32"))]
    if processor().multiplies_bf16:
        found += [("bf16", "PyTorch", lambda: half_torch @ half_torch)]
        found += [("bf16", "OpenVINO", _by_openvino(full, threads, "bf16"))] if by_openvino else []
    if processor().multiplies_int8:
        found += [
            ("int8", "PyTorch", lambda: torch._int_mm(signed_torch, signed_torch)),
            ("int8", "ONNX Runtime", _by_onnx("MatMulInteger", unsigned, signed, threads)),
        ]
        found += [("int8", "OpenVINO", _by_openvino(unsigned, threads, "f32"))] if by_openvino else []
    return found


def _by_onnx(kind: str, left: NDArray[np.generic], right: NDArray[np.generic], threads: int) -> Product:
    def info(name: str, dtype: np.dtype[np.generic]) -> ValueInfoProto:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), left.shape)

    result = np.dtype(np.int32 if kind == "MatMulInteger" else np.float32)
    constant = helper.make_tensor(
        "b", helper.np_dtype_to_tensor_dtype(right.dtype), right.shape, right.tobytes(), raw=True
    )
    node = helper.make_node(kind, ["a", "b"], ["c"])
    graph = helper.make_graph([node], "product", [info("a", left.dtype)], [info("c", result)], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"a": left})


def _by_openvino(left: NDArray[np.generic], threads: int, precision: str) -> Product:
    """Multiply by a constant matrix; bytes as OpenVINO's quantized models have them."""
    import openvino
    from openvino import opset13 as ops

    side = len(left)
    given = ops.parameter(left.shape, left.dtype)
    if left.dtype == np.uint8:
        scale = np.full((side, 1), 0.01, np.float32)
        signed = np.random.default_rng(0).integers(-127, 128, (side, side), dtype=np.int8)
        a = ops.multiply(ops.convert(given, "f32"), np.float32(0.01))
        b = ops.multiply(ops.convert(ops.constant(signed), "f32"), ops.constant(scale))
    else:
        a, b = given, ops.constant(left)
    product = ops.matmul(a, b, transpose_a=False, transpose_b=True)
    model = openvino.Model([product], [given], "product")
    config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()
    return lambda: request.infer([left], share_inputs=True, share_outputs=True)
