"""Tests of the palette generator's graph: logits and drawn colours in every runtime are PyTorch's."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sat2map.images.palette import Palette
from sat2map.images.pixels import to_unit
from sat2map.inference.backends.phases import join_around, join_phases, likeliest_of_phases
from sat2map.inference.tiling import Area
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.onnx.generator_graph import build_graph

PALETTE = Palette.load("maps")
COLOURS = np.array([colour for it in PALETTE.classes for colour in it.colours], np.uint8)
SPEC = GeneratorSpec(architecture="efficient-unet", colours=len(COLOURS))
TOLERANCE = 1e-4


@cache
def generator() -> torch.nn.Module:
    """Return a network whose running statistics differ from layer to layer and whose logits have contrast."""
    torch.manual_seed(0)
    network = build_generator(SPEC)
    with torch.no_grad():
        for _ in range(150):  # the momentum is small
            network(torch.randn(2, 3, 64, 64))
    return network.eval().requires_grad_(False)


def graph_of(*, pixels: bool = False, for_openvino: bool = False) -> onnx.ModelProto:
    arrays = {name: value.numpy() for name, value in generator().state_dict().items()}
    graph = build_graph(SPEC, arrays, pixels=pixels, palette=PALETTE, openvino=for_openvino)
    onnx.checker.check_model(graph, full_check=True)
    return graph


def run(runtime: str, graph: onnx.ModelProto, source: np.ndarray) -> list[np.ndarray]:
    if runtime == "onnx":
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        content = graph.SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        found: list[np.ndarray] = session.run(None, {"source": source})
        return found
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(graph.SerializeToString()), "CPU", exact)
    return list(compiled(source).values())


@pytest.mark.parametrize(
    "inside", [Area(0, 0, 20, 28), Area(4, 6, 18, 8), Area(2, 2, 2, 2), Area(8, 0, 20, 26)]
)
def test_phases_are_joined_around_a_rectangle_and_compared_inside(inside: Area) -> None:
    phases = np.random.default_rng(0).normal(size=(1, 20, 10, 14)).astype(np.float32)
    expected = join_phases(phases)[0]
    joined, numbers = join_around(phases, inside)
    np.testing.assert_array_equal(numbers, expected[:, inside.rows, inside.columns].argmax(axis=0))
    outside = np.ones((20, 28), bool)
    outside[inside.rows, inside.columns] = False
    np.testing.assert_array_equal(joined[:, outside], expected[:, outside])


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("shape", [(2, 3, 64, 96), (1, 3, 32, 32), (1, 3, 608, 608)])
def test_the_logits_are_those_of_pytorch_at_any_size(runtime: str, shape: tuple[int, ...]) -> None:
    source = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    expected = generator()(torch.from_numpy(source)).numpy()
    assert expected.std() > 0.1
    (logits,) = run(runtime, graph_of(), source)
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_the_graph_for_openvino_gives_phases_that_joined_are_the_logits_of_pytorch(runtime: str) -> None:
    source = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 96)).astype(np.float32)
    expected = generator()(torch.from_numpy(source)).numpy()
    (phases,) = run(runtime, graph_of(for_openvino=True), source)
    assert phases.shape == (2, 4 * len(COLOURS), 32, 48)
    np.testing.assert_allclose(join_phases(phases), expected, atol=TOLERANCE, rtol=TOLERANCE)
    numbers = likeliest_of_phases(phases)
    np.testing.assert_array_equal(numbers, join_phases(phases).argmax(axis=1))


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_on_pixels_each_pixel_has_its_likeliest_colour(runtime: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    drawn, logits = run(runtime, graph_of(pixels=True), pixels)
    expected = generator()(torch.from_numpy(to_unit(pixels))).numpy()
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE, rtol=TOLERANCE)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (2, 64, 96, 3)
    np.testing.assert_array_equal(drawn, COLOURS[logits.argmax(axis=1)])
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 3
