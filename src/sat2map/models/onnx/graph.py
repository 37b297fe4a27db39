"""The builder of ONNX graphs that the architectures share: nodes, constants, and layers with their norm."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from sat2map.models.architectures.spec import GROUP_CHANNELS, GeneratorSpec
from sat2map.models.onnx.rewrites import Convolution
from sat2map.models.onnx.weights import EPSILON, Weights

Finish = Callable[[str], str]
RELU6_MAX: Final = 6.0
LARGE: Final = 1 << 16  # bytes; arrays above are kept apart from the graph


class Tail(NamedTuple):
    """What an architecture leaves to the graph's outputs.

    Attributes:
        x: Name of the input of the last layer.
        last: The last layer.
        to_unit: Brings the image's bands into [-1, 1], given the name of what the last layer gives.
    """

    x: str
    last: Convolution
    to_unit: Finish


class GraphBuilder:
    """Nodes and constants as they are added; every method returns the name of what it computes.

    Attributes:
        spec: The network.
        weights: Its arrays, each to be taken once.
        transposes: Whether the runtime has a fast transposed convolution.
        nodes: What was added.
        constants: Arrays that were added.
        large: Those of weights that are large, by name: they are written into the graph last, or not at all.
    """

    def __init__(self, spec: GeneratorSpec, weights: Weights, *, transposes: bool = False) -> None:
        self.spec = spec
        self.transposes = transposes
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.large: dict[str, NDArray[Any]] = {}

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node of an ONNX operator; `output` names what it computes."""
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, array: NDArray[np.generic]) -> str:
        """Add an array."""
        name, array = f"constant_{len(self.constants) + len(self.large)}", np.ascontiguousarray(array)
        if array.nbytes > LARGE and array.dtype == np.float32:
            self.large[name] = array
        else:
            self.constants.append(numpy_helper.from_array(array, name))
        return name

    def number(self, value: float) -> str:
        """Add a float32 scalar."""
        return self.constant(np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """Add an int64 vector."""
        return self.constant(np.array(values, np.int64))

    def reflect(self, x: str, width: int) -> str:
        """Pad height and width by reflection."""
        return self.node("Pad", x, self.integers(0, 0, width, width, 0, 0, width, width), mode="reflect")

    def layer(
        self,
        x: str,
        convolution: Convolution,
        norm: str | None = None,
        *,
        finish: Finish | None = None,
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
            group=convolution.groups,
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
        """Add max(x, 0)."""
        return self.node("Relu", x)

    def relu6(self, x: str) -> str:
        """Add min(max(x, 0), 6)."""
        return self.node("Clip", x, self.number(0), self.number(RELU6_MAX))

    def tanh(self, x: str) -> str:
        """Add the hyperbolic tangent."""
        return self.node("Tanh", x)

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
