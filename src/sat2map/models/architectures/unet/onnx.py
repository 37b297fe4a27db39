"""The U-Net as an ONNX graph."""

from __future__ import annotations

from sat2map.models.onnx.graph import Finish, GraphBuilder, Tail


def build_unet(graph: GraphBuilder, x: str) -> Tail:
    """Add the layers of `network.UNet` but the last, for the input called `x`.

    There a decoder layer starts with the ReLU of what comes from below and the skip; here each is rectified
    before they are joined. ReLU(LeakyReLU(y)) is ReLU(y), so both uses of an encoder layer share one.
    """
    x, skips = add_encoder(graph, x)
    return add_decoder(graph, x, [graph.relu(skip) for skip in skips], graph.tanh)


def add_encoder(graph: GraphBuilder, x: str, *, reflects: bool = False) -> tuple[str, list[str]]:
    """Add the encoder; return the rectified bottleneck and the skips after their LeakyReLU.

    With `reflects` all convolutions but the innermost pad by reflection.
    """
    channels, inner = _channels(graph), graph.spec.depth - 1
    skips = []
    for i in range(graph.spec.depth):
        inputs = graph.spec.source_bands if i == 0 else channels[i - 1]
        reflect = reflects and i < inner
        convolution = graph.weights.convolution(
            f"down.{i}.conv", inputs, channels[i], 4, stride=2, padding=0 if reflect else 1
        )
        x = graph.layer(
            graph.reflect(x, 1) if reflect else x,
            convolution,
            None if i in (0, inner) else f"down.{i}.norm",
            finish=graph.relu if i == inner else None,
        )
        if i < inner:
            x = graph.node("LeakyRelu", x, alpha=0.2)
            skips.append(x)
    return x, skips


def add_decoder(graph: GraphBuilder, x: str, skips: list[str], to_unit: Finish) -> Tail:
    """Add the decoder but for its last layer."""
    spec, channels, inner = graph.spec, _channels(graph), graph.spec.depth - 1
    for i in range(inner, -1, -1):
        outputs = spec.target_bands + spec.classes if i == 0 else channels[i - 1]
        inputs = channels[i] * (1 if i == inner else 2)
        convolution = graph.weights.upsampling(f"up.{i}.conv", inputs, outputs, transpose_kernel=4)
        if i == 0:
            break
        x = graph.layer(x, convolution, f"up.{i}.norm", finish=graph.relu)
        x = graph.node("Concat", x, skips[i - 1], axis=1)
    return Tail(x, convolution, to_unit)


def _channels(graph: GraphBuilder) -> list[int]:
    return [min(2**i, 8) * graph.spec.width for i in range(graph.spec.depth)]
