"""Tests of sat2map.models.onnx: in ONNX Runtime and OpenVINO, every network is what it is in PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from sat2map.errors import ModelFileError
from sat2map.images.pixels import from_unit, to_unit
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.registry import ARCHITECTURES
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.onnx.generator_graph import build_graph, build_light_graph

DRAWING = [name for name, architecture in ARCHITECTURES.items() if not architecture.gives_colours]
VARIANTS = list(
    itertools.product(
        DRAWING,
        ("batch", "instance", "group", "none"),
        ("transpose", "resize", "shuffle"),
        (0, 5),
    )
)
# float32 differs by the order of sums; a grey level is 0.0078. The ResNet is 24 layers deep.
TOLERANCE = 1e-4


def network(**values: Any) -> tuple[GeneratorSpec, nn.Module]:
    """Return a generator in eval mode whose norms have statistics and whose output has contrast."""
    spec = GeneratorSpec(**{"width": 8, "depth": 3, **values})
    torch.manual_seed(0)
    generator = build_generator(spec)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(1.5)
        for _ in range(3):
            generator(torch.randn(2, spec.source_bands, 32, 32))
    return spec, generator.eval().requires_grad_(False)


def graph_of(spec: GeneratorSpec, generator: nn.Module, *, pixels: bool = False) -> onnx.ModelProto:
    arrays = {name: value.numpy() for name, value in generator.state_dict().items()}
    return build_graph(spec, arrays, pixels=pixels)


def run_onnx(graph: onnx.ModelProto, source: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"source": source})


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(("architecture", "norm", "upsample", "classes"), VARIANTS)
def test_the_graph_draws_what_pytorch_draws_in_every_runtime_at_any_size(
    architecture: str, norm: str, upsample: str, classes: int
) -> None:
    openvino = pytest.importorskip("openvino")
    spec, generator = network(
        architecture=architecture,
        norm=norm,
        upsample=upsample,
        classes=classes,
        width=8 if norm != "group" else 32,
    )
    graph = graph_of(spec, generator)
    onnx.checker.check_model(graph, full_check=True)
    core = openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(graph.SerializeToString()), "CPU", exact)
    for shape in ((1, 3, 16, 24), (3, 3, 32, 16)):
        source = picture(*shape)
        expected = generator(torch.from_numpy(source)).numpy()
        assert expected.std() > 0.03
        for found in (run_onnx(graph, source)[0], compiled(source)[0]):
            np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("architecture", DRAWING)
@pytest.mark.parametrize("bands", [(1, 3), (4, 1)])
def test_other_numbers_of_bands_go_in_and_out(architecture: str, bands: tuple[int, int]) -> None:
    spec, generator = network(architecture=architecture, source_bands=bands[0], target_bands=bands[1])
    source = picture(2, bands[0], 16, 16)
    expected = generator(torch.from_numpy(source)).numpy()
    np.testing.assert_allclose(run_onnx(graph_of(spec, generator), source)[0], expected, atol=TOLERANCE)


@pytest.mark.parametrize("architecture", DRAWING)
@pytest.mark.parametrize("classes", [0, 5])
def test_the_graph_on_pixels_takes_and_gives_bytes_as_the_package_rounds_them(
    architecture: str, classes: int
) -> None:
    spec, generator = network(architecture=architecture, classes=classes)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 16, 3), dtype=np.uint8)
    graph = graph_of(spec, generator, pixels=True)
    onnx.checker.check_model(graph, full_check=True)
    fake, *logits = run_onnx(graph, pixels)
    output = generator(torch.from_numpy(to_unit(pixels))).numpy()
    expected = from_unit(output[:, :3])
    assert fake.dtype == np.uint8
    assert fake.shape == (2, 32, 16, 3)
    assert np.abs(fake.astype(int) - expected).max() <= 1  # where rounding is a close call
    assert (fake != expected).mean() < 0.001
    assert len(logits) == bool(classes)
    if classes:
        np.testing.assert_allclose(logits[0], output[:, 3:], atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("architecture", ["unet", "resnet6"])
@pytest.mark.parametrize("size", [(17, 16), (16, 23)])
def test_a_size_that_the_network_would_crop_is_an_error_in_every_runtime(
    runtime: str, pixels: bool, architecture: str, size: tuple[int, int]
) -> None:
    graph = graph_of(*network(architecture=architecture, width=4), pixels=pixels)
    source = np.zeros((1, *size, 3), np.uint8) if pixels else np.zeros((1, 3, *size), np.float32)
    if runtime == "onnx":
        with pytest.raises(Exception, match=r"(?i:reshape|concat)"):
            run_onnx(graph, source)
        return
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(graph.SerializeToString()), "CPU")
    with pytest.raises(RuntimeError, match=r"(?i:reshape|concat)"):
        compiled(source)


def test_weights_in_half_precision_are_computed_with_in_single() -> None:
    spec, generator = network()
    half = {name: value.half().numpy() for name, value in generator.state_dict().items()}
    generator.half().float()
    source = picture(1, 3, 16, 16)
    found = run_onnx(build_graph(spec, half), source)[0]
    np.testing.assert_allclose(found, generator(torch.from_numpy(source)).numpy(), atol=TOLERANCE)


@pytest.mark.parametrize("change", ["missing", "more", "shape"])
def test_weights_of_another_network_are_refused_by_name(change: str) -> None:
    spec, generator = network()
    arrays = {name: value.numpy() for name, value in generator.state_dict().items()}
    name = "down.1.conv.weight"
    if change == "missing":
        del arrays[name]
    elif change == "more":
        name = "down.9.conv.weight"
        arrays[name] = np.zeros((1, 1, 4, 4), np.float32)
    else:
        arrays[name] = arrays[name][:, 1:]
    with pytest.raises(ModelFileError, match=rf"do not fit the network of its header: {name}"):
        build_graph(spec, arrays)


def test_a_light_graph_with_its_weights_beside_it_draws_what_the_whole_one_draws() -> None:
    spec, generator = network(width=32, depth=4, classes=5)
    arrays = {name: value.numpy() for name, value in generator.state_dict().items()}
    whole, light = build_graph(spec, arrays), build_light_graph(spec, arrays)
    assert sum(array.nbytes for array in light.weights.values()) > 0.9 * whole.ByteSize()
    assert len(light.content) < 0.1 * whole.ByteSize()
    source = picture(1, 3, 48, 64)
    session = onnxruntime.InferenceSession(light.content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"source": source, **light.weights})
    np.testing.assert_allclose(found, run_onnx(whole, source)[0], atol=TOLERANCE)
