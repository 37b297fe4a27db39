"""Owns what the machine is and what it can do at most: matrix products, in each arithmetic."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper

from sat2map.bench.timing import interleave

SIDE = 2048


def describe_machine(threads: int) -> dict[str, str]:
    """Return processor, cores and versions, in words."""
    packages = ("torch", "onnxruntime", "openvino", "nncf", "numpy")
    return {
        "processor": _processor(),
        "threads": f"{threads} of {os.cpu_count()}",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {_version(name)}" for name in packages),
    }


def measure_peaks(threads: int, *, rounds: int = 8) -> dict[str, list[float]]:
    """Multiply matrices of 2048 x 2048; return 1e9 multiply-adds a second in each round, by arithmetic."""
    torch.set_num_threads(threads)
    full = torch.randn(SIDE, SIDE)
    half = full.bfloat16()
    whole = torch.randint(-128, 128, (SIDE, SIDE), dtype=torch.int8)
    calls: dict[str, Callable[[], object]] = {
        "fp32": lambda: full @ full,
        "bf16": lambda: half @ half,
        "int8": _int8_product(threads),
        "int8 (torch)": lambda: torch._int_mm(whole, whole),
    }
    seconds = interleave(calls, rounds=rounds, warm_up=2)
    rates = {name: [SIDE**3 / 1e9 / second for second in times] for name, times in seconds.items()}
    by_torch = rates.pop("int8 (torch)")
    if max(by_torch) > max(rates["int8"]):
        rates["int8"] = by_torch
    return rates


def _int8_product(threads: int) -> Callable[[], object]:
    """Return ONNX Runtime's uint8 x int8 product, whose kernels use VNNI."""
    ends = [
        helper.make_tensor_value_info(name, kind, [SIDE, SIDE])
        for name, kind in (("a", TensorProto.UINT8), ("b", TensorProto.INT8), ("c", TensorProto.INT32))
    ]
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    weights = np.random.default_rng(0).integers(-128, 128, (SIDE, SIDE), dtype=np.int8)
    constant = helper.make_tensor("b", TensorProto.INT8, [SIDE, SIDE], weights.tobytes(), raw=True)
    graph = helper.make_graph([node], "product", ends[:1], ends[2:], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    left = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    return lambda: session.run(None, {"a": left})


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile") if flag in flags]
    return f"{names[0] if names else platform.machine()} ({', '.join(known)})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
