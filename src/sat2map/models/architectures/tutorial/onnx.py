"""The tutorial's U-Net as an ONNX graph."""

from __future__ import annotations

from sat2map.models.architectures.unet.onnx import add_decoder, add_encoder
from sat2map.models.onnx.graph import GraphBuilder, Tail


def build_tutorial(graph: GraphBuilder, x: str) -> Tail:
    """Add the layers of `network.TutorialUNet` but the last, for the input called `x`."""
    zero_to_one = graph.node("Mul", graph.node("Add", x, graph.number(1)), graph.number(0.5))
    x, skips = add_encoder(graph, zero_to_one, reflects=True)

    def to_unit(y: str) -> str:
        positive = graph.relu(graph.tanh(y))
        return graph.node("Add", graph.node("Mul", positive, graph.number(2)), graph.number(-1))

    return add_decoder(graph, x, skips, to_unit)
