"""The palette generator as an ONNX graph."""

from __future__ import annotations

import numpy as np

from sat2map.models.architectures.efficient_unet.layout import (
    BATCH_NORM_EPSILON,
    DECODER_CHANNELS,
    LITE0,
    STEM_CHANNELS,
    same_padding,
)
from sat2map.models.onnx.graph import GraphBuilder, Tail
from sat2map.models.onnx.rewrites import Convolution, transposed_of_resize


def build_efficient_unet(graph: GraphBuilder, x: str) -> Tail:
    """Add the layers of `network.EfficientUNet` but the last, for the input called `x`."""
    taps = _add_encoder(graph, x)
    x, inputs = taps.pop()
    for i, outputs in enumerate(DECODER_CHANNELS):
        skip, skip_channels = taps.pop()
        x = _add_decoder_stage(graph, f"decoder.{i}.body", (x, inputs), (skip, skip_channels), outputs)
        inputs = outputs
    last = graph.weights.shuffled("head.0", inputs, graph.spec.colours)
    return Tail(x, last, lambda y: y)


def _add_encoder(graph: GraphBuilder, x: str) -> list[tuple[str, int]]:
    """Add the encoder; return names and channels of the features at strides 2 to 32."""
    x = graph.layer(
        x, _take(graph, "encoder.stem", (graph.spec.source_bands, STEM_CHANNELS), 3, 2), finish=graph.relu6
    )
    taps, inputs, at = [], STEM_CHANNELS, 0
    for i, stage in enumerate(LITE0):
        for repeat in range(stage.repeats):
            name, stride = f"encoder.blocks.{at}.body", stage.stride if repeat == 0 else 1
            y, layer, inner = x, 0, inputs * stage.expansion
            if stage.expansion != 1:
                y, layer = graph.layer(y, _take(graph, name, (inputs, inner), 1), finish=graph.relu6), 3
            depthwise = _take(graph, name, (inner, inner), stage.kernel, stride, layer, groups=inner)
            y = graph.layer(y, depthwise, finish=graph.relu6)
            y = graph.layer(y, _take(graph, name, (inner, stage.channels), 1, at=layer + 3))
            x = graph.node("Add", x, y) if stride == 1 and inputs == stage.channels else y
            inputs, at = stage.channels, at + 1
        if i + 1 == len(LITE0) or LITE0[i + 1].stride == 2:
            taps.append((x, inputs))
    return taps


def _take(
    graph: GraphBuilder,
    name: str,
    channels: tuple[int, int],
    kernel: int,
    stride: int = 1,
    at: int = 0,
    groups: int = 1,
) -> Convolution:
    """Take the convolution at place `at` of a sequence, with the norm after it."""
    convolution = graph.weights.convolution(
        f"{name}.{at}", *channels, kernel, stride=stride, padding=same_padding(kernel, stride), groups=groups
    )
    norm = graph.weights.batch_norm(f"{name}.{at + 1}", channels[1], epsilon=BATCH_NORM_EPSILON)
    return convolution.scaled(*norm)


def _add_decoder_stage(
    graph: GraphBuilder, name: str, below: tuple[str, int], skip: tuple[str, int], outputs: int
) -> str:
    (small, inputs), (beside, skips) = below, skip
    convolution = _take(graph, name, (inputs + skips, outputs), 3)
    if graph.transposes:  # the sum of both halves: no joining, and 4/9 of the arithmetic of the enlarged one
        kernel = graph.constant(transposed_of_resize(convolution.weight[:, :inputs]))
        large = graph.node("ConvTranspose", small, kernel, strides=[2, 2], pads=[1, 1, 1, 1])
        rest = graph.layer(beside, convolution.of_inputs(inputs, inputs + skips))
        return graph.relu(graph.node("Add", large, rest))
    scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
    large = graph.node(
        "Resize",
        small,
        "",
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return graph.layer(graph.node("Concat", large, beside, axis=1), convolution, finish=graph.relu)
