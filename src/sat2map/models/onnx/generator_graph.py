"""The ONNX graphs of all generators, in eval mode, with free batch, height and width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sat2map.images.palette import Palette
from sat2map.models.architectures.registry import find_architecture
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.onnx.graph import GraphBuilder
from sat2map.models.onnx.metadata import CLASS_LOGITS, COLOUR_LOGITS, FAKE, SOURCE
from sat2map.models.onnx.weights import Weights

# Old enough for every ONNX Runtime and OpenVINO of the last years; nothing newer is needed.
OPSET: Final = 17
IR_VERSION: Final = 8


class LightGraph(NamedTuple):
    """A graph without its large weights, which need not be copied again and again on their way to a runtime.

    Attributes:
        content: The serialized graph; the weights are further inputs of it, behind `source`.
        weights: float32, by the names of these inputs.
    """

    content: bytes
    weights: dict[str, NDArray[Any]]


def build_graph(
    spec: GeneratorSpec,
    arrays: Mapping[str, NDArray[Any]],
    *,
    pixels: bool = False,
    classes: bool = True,
    palette: Palette | None = None,
    openvino: bool = False,
) -> onnx.ModelProto:
    """Build a generator's graph in eval mode: running statistics, no dropout.

    Args:
        spec: The network.
        arrays: Its state dict as NumPy arrays, of any float type.
        pixels: How images go in and out; h and w are multiples of `spec.size_divisor` both ways.
            False: `source` float32 (n, source_bands, h, w) in [-1, 1] → `fake` float32 (n, outputs, h, w):
            the image in [-1, 1] and then class logits, or the logits of the palette's colours.
            True: `source` uint8 (n, h, w, source_bands) in 0..255 → `fake` uint8 (n, h, w, target_bands), and
            float32 (n, c, h, w): `class_logits` with a class head, `colour_logits` of a palette's colours.
        classes: Whether to give logits beside the image, where there are any.
        palette: What the colours are, for an image drawn from their logits.
        openvino: Write it as OpenVINO runs it fastest: with transposed convolutions, and without `pixels`
            with logits of colours before their depth-to-space, if the last layer has one: `fake` float32
            (n, 4·outputs, h/2, w/2), the phases (0, 0), (0, 1), (1, 0) and (1, 1) of 2×2 blocks.

    Raises:
        ModelFileError: The weights do not fit the network.
    """
    graph, source, outputs = _add_all(spec, arrays, pixels, classes, palette, openvino)
    model = _model(graph, [source], outputs)
    for name, array in graph.large.items():
        model.graph.initializer.add().CopyFrom(numpy_helper.from_array(array, name))
    return model


def build_light_graph(
    spec: GeneratorSpec,
    arrays: Mapping[str, NDArray[Any]],
    *,
    pixels: bool = False,
    classes: bool = True,
    palette: Palette | None = None,
    openvino: bool = False,
) -> LightGraph:
    """Build the same graph with the large weights beside it (see `build_graph`)."""
    graph, source, outputs = _add_all(spec, arrays, pixels, classes, palette, openvino)
    apart = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        for name, array in graph.large.items()
    ]
    content: bytes = _model(graph, [source, *apart], outputs).SerializeToString()
    return LightGraph(content, graph.large)


def _add_all(
    spec: GeneratorSpec,
    arrays: Mapping[str, NDArray[Any]],
    pixels: bool,
    classes: bool,
    palette: Palette | None,
    openvino: bool,
) -> tuple[GraphBuilder, onnx.ValueInfoProto, list[onnx.ValueInfoProto]]:
    """Return all nodes and arrays of `build_graph`, its input and its outputs."""
    weights = Weights(arrays, spec)
    graph = GraphBuilder(spec, weights, transposes=openvino)
    x = _source_from_pixels(graph) if pixels else SOURCE
    tail = find_architecture(spec.architecture).build_onnx(graph, x)
    weights.check_all_taken()
    bands = spec.target_bands
    outputs: list[onnx.ValueInfoProto]
    if openvino and spec.colours and not pixels and tail.last.blocks == 2 and not tail.last.crop:
        graph.node("Identity", graph.layer(tail.x, replace(tail.last, blocks=1)), output=FAKE)
        outputs = [_floats(FAKE, 4 * spec.colours, "half_")]
    elif spec.colours:
        logits = graph.layer(tail.x, tail.last)
        if pixels:
            assert palette is not None
            outputs = [_give_bytes(graph, _draw_colours(graph, logits, palette), 3)]
            outputs += [_give(graph, logits, COLOUR_LOGITS, spec.colours)] if classes else []
        else:
            outputs = [_give(graph, logits, FAKE, spec.colours, source_axis=2)]
    else:
        # Image and class logits from two convolutions: taking the pixels of one apart costs more than that.
        to_unit = tail.to_unit
        finish = (lambda y: _to_bytes(graph, to_unit(y))) if pixels else to_unit
        image = graph.layer(tail.x, tail.last.part(0, bands), finish=finish)
        logits_of = tail.last.part(bands, bands + spec.classes)
        head = graph.layer(tail.x, logits_of) if spec.classes and classes else None
        if pixels:
            outputs = [_give_bytes(graph, graph.node("Transpose", image, perm=[0, 2, 3, 1]), bands)]
            outputs += [_give(graph, head, CLASS_LOGITS, spec.classes)] if head else []
        else:
            joined = graph.node("Concat", image, *([head] if head else []), axis=1)
            outputs = [_give(graph, joined, FAKE, bands + (spec.classes if head else 0), source_axis=2)]
    source = _bytes(SOURCE, spec.source_bands) if pixels else _floats(SOURCE, spec.source_bands)
    return graph, source, outputs


def _model(
    graph: GraphBuilder, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    proto = helper.make_graph(graph.nodes, "generator", inputs, outputs, graph.constants)
    return helper.make_model(
        proto,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="sat2map",
    )


def _bytes(name: str, bands: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.UINT8, ["batch", "height", "width", bands])


def _floats(name: str, channels: int, sides: str = "") -> onnx.ValueInfoProto:
    shape: list[str | int | None] = ["batch", channels, f"{sides}height", f"{sides}width"]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _give_bytes(graph: GraphBuilder, x: str, bands: int) -> onnx.ValueInfoProto:
    """Make an image, uint8 (n, h, w, bands), the output `fake`."""
    batch_height_width = _part_of_shape(graph, 0, 3)
    shape = graph.node("Concat", batch_height_width, graph.integers(bands), axis=0)
    graph.node("Reshape", x, shape, output=FAKE)
    return _bytes(FAKE, bands)


def _give(
    graph: GraphBuilder, x: str, name: str, channels: int, *, source_axis: int = 1
) -> onnx.ValueInfoProto:
    """Make numbers, float32 (n, channels, h, w), an output.

    The shape is that of the source. A network halves what it can, so a side that is not a multiple of its
    divisor would give a smaller output: here that is an error, in every runtime. `source_axis` is the axis of
    the source's height.
    """
    batch, sides = _part_of_shape(graph, 0, 1), _part_of_shape(graph, source_axis, source_axis + 2)
    shape = graph.node("Concat", batch, graph.integers(channels), sides, axis=0)
    graph.node("Reshape", x, shape, output=name)
    return _floats(name, channels)


def _part_of_shape(graph: GraphBuilder, start: int, stop: int) -> str:
    return graph.node("Shape", SOURCE, start=start, end=stop)


def _source_from_pixels(graph: GraphBuilder) -> str:
    """Do what `sat2map.images.pixels.to_unit` does."""
    x = graph.node("Cast", SOURCE, to=TensorProto.FLOAT)
    x = graph.node("Transpose", x, perm=[0, 3, 1, 2])
    return graph.node("Sub", graph.node("Div", x, graph.number(127.5)), graph.number(1))


def _to_bytes(graph: GraphBuilder, unit: str) -> str:
    """Do what `sat2map.images.pixels.from_unit` does."""
    levels = graph.node("Mul", graph.node("Add", unit, graph.number(1)), graph.number(127.5))
    levels = graph.node("Round", graph.node("Clip", levels, graph.number(0), graph.number(255)))
    return graph.node("Cast", levels, to=TensorProto.UINT8)


def _draw_colours(graph: GraphBuilder, logits: str, palette: Palette) -> str:
    """Draw each pixel in its likeliest colour: uint8 (n, h, w, 3)."""
    colour = graph.node("ArgMax", logits, axis=1, keepdims=0)
    table = np.array([colour for it in palette.classes for colour in it.colours], np.uint8)
    return graph.node("Gather", graph.constant(table), colour, axis=0)
