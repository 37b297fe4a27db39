"""Owns the ONNX graphs of all generators, in eval mode, with free batch, height and width."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.onnx.metadata import CLASS_LOGITS, FAKE, SOURCE
from sat2map.models.onnx.rewrites import Convolution
from sat2map.models.onnx.weights import EPSILON, Weights

# Old enough for every ONNX Runtime and OpenVINO of the last years; nothing newer is needed.
OPSET: Final = 17
IR_VERSION: Final = 8

GROUP_CHANNELS: Final = (
    16  # as in sat2map.models.architectures.blocks, which cannot be imported without PyTorch
)


def build_graph(
    spec: GeneratorSpec,
    arrays: Mapping[str, NDArray[Any]],
    *,
    pixels: bool = False,
    classes: bool = True,
) -> onnx.ModelProto:
    """Build a generator's graph in eval mode: running statistics, no dropout.

    Args:
        spec: The network.
        arrays: Its state dict as NumPy arrays, of any float type.
        pixels: How pictures go in and out; h and w are multiples of `spec.size_divisor` both ways.
            False: `source` float32 (n, source_bands, h, w) in [-1, 1] → `fake` float32 (n, target_bands +
            classes, h, w), the image in [-1, 1] and then class logits.
            True: `source` uint8 (n, h, w, source_bands) in 0..255 → `fake` uint8 (n, h, w, target_bands) and,
            with a class head, `class_logits` float32 (n, classes, h, w).
        classes: Whether to compute the class head, where there is one.

    Raises:
        ModelFileError: The weights do not fit the network.
    """
    weights = Weights(arrays, spec)
    graph = _Graph(spec, weights)
    x = _source_from_pixels(graph) if pixels else SOURCE
    tutorial = spec.architecture == "tutorial"
    x, last = (
        _unet(graph, x, tutorial=tutorial) if tutorial or spec.architecture == "unet" else _resnet(graph, x)
    )
    weights.check_all_taken()
    # Image and class logits from two convolutions: taking the pixels of one apart costs more than that.
    bands = spec.target_bands
    image = graph.layer(
        x, last.part(0, bands), finish=partial(_finish_image, graph, pixels=pixels, tutorial=tutorial)
    )
    logits = graph.layer(x, last.part(bands, bands + spec.classes)) if spec.classes and classes else None
    outputs = (_outputs_as_pixels if pixels else _outputs_as_one)(graph, image, logits)
    source = _bytes(SOURCE, spec.source_bands) if pixels else _floats(SOURCE, spec.source_bands)
    proto = helper.make_graph(graph.nodes, "generator", [source], outputs, graph.constants)
    return helper.make_model(
        proto,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="sat2map",
    )


def _bytes(name: str, bands: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.UINT8, ["batch", "height", "width", bands])


def _floats(name: str, channels: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, "height", "width"])


Finish = Callable[[str], str]


class _Graph:
    """Nodes and constants as they are added; every method returns the name of what it computes."""

    def __init__(self, spec: GeneratorSpec, weights: Weights) -> None:
        self.spec = spec
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, array: NDArray[np.generic]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def reflect(self, x: str, width: int) -> str:
        return self.node("Pad", x, self.integers(0, 0, width, width, 0, 0, width, width), mode="reflect")

    def layer(
        self, x: str, convolution: Convolution, norm: str | None = None, *, finish: Finish | None = None
    ) -> str:
        """Add a convolution, its depth-to-space, the norm of that name and `finish`, pixel by pixel."""
        channels = convolution.channels
        if norm is not None and self.spec.norm == "batch":
            convolution, norm = convolution.scaled(*self.weights.batch_norm(norm, channels)), None
        if norm is not None and self.spec.norm == "none":
            norm = None
        y = self.node(
            "Conv",
            x,
            self.constant(convolution.weight),
            self.constant(convolution.bias),
            pads=convolution.pads,
            strides=[convolution.stride] * 2,
        )
        if finish and norm is None:  # before the pixels move: runtimes then fuse it into the convolution
            y, finish = finish(y), None
        if convolution.blocks > 1:
            y = self.node("DepthToSpace", y, blocksize=convolution.blocks, mode="DCR")
        if convolution.crop:  # as a pad of less than nothing, which quantizers move across; not so a slice
            crop = -convolution.crop
            y = self.node("Pad", y, self.integers(0, 0, crop, crop, 0, 0, crop, crop))
        if norm is not None:
            y = self._norm(y, norm, channels)
        return finish(y) if finish else y

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def _norm(self, x: str, name: str, channels: int) -> str:
        groups = (
            channels
            if self.spec.norm == "instance"
            else math.gcd(channels, max(1, channels // GROUP_CHANNELS))
        )
        ones, zeros = self.constant(np.ones(groups, np.float32)), self.constant(np.zeros(groups, np.float32))
        if self.spec.norm == "instance":
            return self.node("InstanceNormalization", x, ones, zeros, epsilon=EPSILON)
        # A group's channels laid end to end are one channel of an instance norm.
        flat = self.node("Reshape", x, self.integers(0, groups, -1))
        normal = self.node("InstanceNormalization", flat, ones, zeros, epsilon=EPSILON)
        back = self.node("Reshape", normal, self.node("Shape", x))
        scale, shift = self.weights.scale_and_shift(name, channels)
        scaled = self.node("Mul", back, self.constant(scale[:, None, None]))
        return self.node("Add", scaled, self.constant(shift[:, None, None]))


def _unet(graph: _Graph, x: str, *, tutorial: bool) -> tuple[str, Convolution]:
    """Add the layers of `architectures.unet.network.UNet` but the last; return its input and itself.

    There a decoder layer starts with the ReLU of what comes from below and the skip; here each is rectified
    before they are joined. ReLU(LeakyReLU(y)) is ReLU(y), so both uses of an encoder layer share one.
    The differences of `architectures.tutorial.network.TutorialUNet` are its range, its padding and its skips.
    """
    if tutorial:
        one, half = (graph.constant(np.array(value, np.float32)) for value in (1, 0.5))
        x = graph.node("Mul", graph.node("Add", x, one), half)
    spec, weights = graph.spec, graph.weights
    channels = [min(2**i, 8) * spec.width for i in range(spec.depth)]
    inner = spec.depth - 1
    skips = []
    for i in range(spec.depth):
        inputs = spec.source_bands if i == 0 else channels[i - 1]
        reflects = tutorial and i < inner
        convolution = weights.convolution(
            f"down.{i}.conv", inputs, channels[i], 4, stride=2, padding=0 if reflects else 1
        )
        x = graph.layer(
            graph.reflect(x, 1) if reflects else x,
            convolution,
            None if i in (0, inner) else f"down.{i}.norm",
            finish=graph.relu if i == inner else None,
        )
        if i < inner:
            x = graph.node("LeakyRelu", x, alpha=0.2)
            skips.append(x if tutorial else graph.node("Relu", x))
    for i in range(inner, -1, -1):
        outputs = spec.target_bands + spec.classes if i == 0 else channels[i - 1]
        convolution = weights.upsampling(f"up.{i}.conv", channels[i] * (1 if i == inner else 2), outputs)
        if i:
            x = graph.layer(x, convolution, f"up.{i}.norm", finish=graph.relu)
            x = graph.node("Concat", x, skips[i - 1], axis=1)
    return x, convolution


def _resnet(graph: _Graph, x: str) -> tuple[str, Convolution]:
    """Add the layers of `architectures.resnet.network.ResNet` but the last, as `_unet` does."""
    spec, weights = graph.spec, graph.weights
    width, halvings = spec.width, spec.num_downsamplings
    first = weights.convolution("body.1", spec.source_bands, width, 7)
    x = graph.layer(graph.reflect(x, 3), first, "body.2", finish=graph.relu)
    at, channels = 4, width
    for _ in range(halvings):
        convolution = weights.convolution(f"body.{at}", channels, 2 * channels, 3, stride=2, padding=1)
        x = graph.layer(x, convolution, f"body.{at + 1}", finish=graph.relu)
        at, channels = at + 3, 2 * channels
    for _ in range(spec.residual_blocks):
        block, y = f"body.{at}.body", x
        for i in (1, 6):
            convolution = weights.convolution(f"{block}.{i}", channels, channels, 3)
            y = graph.layer(
                graph.reflect(y, 1), convolution, f"{block}.{i + 1}", finish=graph.relu if i == 1 else None
            )
        x = graph.node("Add", x, y)
        at += 1
    for _ in range(halvings):
        convolution = weights.upsampling(f"body.{at}", channels, channels // 2)
        x = graph.layer(x, convolution, f"body.{at + 1}", finish=graph.relu)
        at, channels = at + 3, channels // 2
    last = weights.convolution(f"body.{at + 1}", width, spec.target_bands + spec.classes, 7)
    return graph.reflect(x, 3), last


def _outputs_as_one(graph: _Graph, image: str, logits: str | None) -> list[onnx.ValueInfoProto]:
    graph.node("Concat", image, *([logits] if logits else []), axis=1, output=FAKE)
    return [_floats(FAKE, graph.spec.target_bands + (graph.spec.classes if logits else 0))]


def _source_from_pixels(graph: _Graph) -> str:
    """Do what `sat2map.images.pixels.to_unit` does."""
    x = graph.node("Cast", SOURCE, to=TensorProto.FLOAT)
    x = graph.node("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.node("Div", x, graph.constant(np.array(127.5, np.float32)))
    return graph.node("Sub", x, graph.constant(np.array(1, np.float32)))


def _finish_image(graph: _Graph, x: str, *, pixels: bool, tutorial: bool) -> str:
    """Apply the tanh, and for pixels do what `sat2map.images.pixels.from_unit` does."""
    unit = graph.node("Tanh", x)
    if tutorial:
        two, minus_one = (graph.constant(np.array(value, np.float32)) for value in (2, -1))
        unit = graph.node("Add", graph.node("Mul", graph.relu(unit), two), minus_one)
    if not pixels:
        return unit
    one, half, low, high = (graph.constant(np.array(value, np.float32)) for value in (1, 127.5, 0, 255))
    levels = graph.node("Mul", graph.node("Add", unit, one), half)
    levels = graph.node("Round", graph.node("Clip", levels, low, high))
    return graph.node("Cast", levels, to=TensorProto.UINT8)


def _outputs_as_pixels(graph: _Graph, image: str, logits: str | None) -> list[onnx.ValueInfoProto]:
    graph.node("Transpose", image, perm=[0, 2, 3, 1], output=FAKE)
    found = [_bytes(FAKE, graph.spec.target_bands)]
    if logits is not None:
        graph.node("Identity", logits, output=CLASS_LOGITS)
        found.append(_floats(CLASS_LOGITS, graph.spec.classes))
    return found
