"""The ResNets as ONNX graphs."""

from __future__ import annotations

from sat2map.models.architectures.resnet.record import num_blocks, num_downsamplings
from sat2map.models.onnx.graph import GraphBuilder, Tail


def build_resnet(graph: GraphBuilder, x: str) -> Tail:
    """Add the layers of `network.ResNet` but the last, for the input called `x`."""
    spec, weights = graph.spec, graph.weights
    width, downsamplings = spec.width, num_downsamplings(spec)
    first = weights.convolution("body.1", spec.source_bands, width, 7)
    x = graph.layer(graph.reflect(x, 3), first, "body.2", finish=graph.relu)
    at, channels = 4, width
    for _ in range(downsamplings):
        convolution = weights.convolution(f"body.{at}", channels, 2 * channels, 3, stride=2, padding=1)
        x = graph.layer(x, convolution, f"body.{at + 1}", finish=graph.relu)
        at, channels = at + 3, 2 * channels
    for _ in range(num_blocks(spec)):
        block, y = f"body.{at}.body", x
        for i in (1, 6):
            convolution = weights.convolution(f"{block}.{i}", channels, channels, 3)
            y = graph.layer(
                graph.reflect(y, 1), convolution, f"{block}.{i + 1}", finish=graph.relu if i == 1 else None
            )
        x = graph.node("Add", x, y)
        at += 1
    for _ in range(downsamplings):
        # CycleGAN's transposed convolution has 3×3 taps where the U-Net's has 4×4
        convolution = weights.upsampling(f"body.{at}", channels, channels // 2, transpose_kernel=3)
        x = graph.layer(x, convolution, f"body.{at + 1}", finish=graph.relu)
        at, channels = at + 3, channels // 2
    last = weights.convolution(f"body.{at + 1}", width, spec.target_bands + spec.classes, 7)
    return Tail(graph.reflect(x, 3), last, graph.tanh)
