"""Tests of how OpenVINO is imported, and of requests of a model whose int8 kernels crash on free sizes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

openvino = pytest.importorskip("openvino")
from openvino import opset13  # noqa: E402

from sat2map.inference.backends.openvino import requests  # noqa: E402
from sat2map.inference.backends.openvino.requests import KEPT_SIZES, Requests  # noqa: E402
from sat2map.runtime.cpu import processor  # noqa: E402


def quantized():
    """Return a model of any size that rounds to sixteenths and doubles."""
    source = opset13.parameter([-1, -1, -1], np.float32)
    low, high = (np.float32(value) for value in (0, 15 / 16))
    rounded = opset13.fake_quantize(source, low, high, low, high, 16)
    return openvino.Model([opset13.multiply(rounded, np.float32(2))], [source])


def run(pool, source):
    with pool.borrow(source.shape) as request:
        found = request.infer([source])[0]
        return found, request.get_compiled_model().inputs[0].partial_shape.is_static


@pytest.fixture
def with_amx(monkeypatch):
    here = replace(processor(), features=frozenset({"amx_int8"}))
    monkeypatch.setattr(requests, "processor", lambda: here)


@pytest.mark.usefixtures("with_amx")
def test_a_quantized_model_is_compiled_for_each_size() -> None:
    pool, random = Requests(quantized(), {}, 1), np.random.default_rng(0)
    for side in (*range(3, 3 + 2 * KEPT_SIZES), 3):
        source = random.random((1, side, side + 1), np.float32) * 0.9
        found, is_fixed = run(pool, source)
        assert is_fixed
        np.testing.assert_allclose(found, 2 * np.rint(source * 16) / 16, atol=1e-6)


def test_a_quantized_model_keeps_its_free_size_elsewhere(monkeypatch) -> None:
    monkeypatch.setattr(requests, "processor", lambda: replace(processor(), features=frozenset({"avx2"})))
    source = np.full((1, 5, 7), 0.25, np.float32)
    found, is_fixed = run(Requests(quantized(), {}, 1), source)
    assert not is_fixed
    np.testing.assert_allclose(found, 0.5)


def test_openvinos_converter_is_imported_when_it_is_called(tmp_path) -> None:
    names = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", names[:1], names[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "relu.onnx")
    script = f"""
import sys
import sat2map.inference.backends.openvino.engine
assert "openvino.frontend.tensorflow" not in sys.modules, "the converter was imported"
import openvino
assert len(openvino.convert_model({str(tmp_path / "relu.onnx")!r}).inputs) == 1
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
