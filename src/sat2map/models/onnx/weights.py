"""The arrays of a state dict, handed out layer by layer, and the error where they do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ModelFileError
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.onnx import rewrites
from sat2map.models.onnx.rewrites import Array, Convolution

EPSILON: Final = 1e-5  # PyTorch's default in every norm

_MISFIT = "its weights do not fit the network of its header"


class Weights:
    """The arrays of a generator's state dict, each to be taken once."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], spec: GeneratorSpec) -> None:
        self._left = {
            name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")
        }
        self._spec = spec

    def convolution(
        self,
        name: str,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        groups: int = 1,
    ) -> Convolution:
        """Take a Conv2d; a missing bias is zeros. `padding`: on all sides, or (before, after)."""
        weight = self._take(f"{name}.weight", outputs, inputs // groups, kernel, kernel)
        before, after = (padding, padding) if isinstance(padding, int) else padding
        pads = (before, before, after, after)
        return Convolution(weight, self._bias(name, outputs), pads, stride, groups=groups)

    def shuffled(self, name: str, inputs: int, outputs: int) -> Convolution:
        """Take a 3×3 Conv2d of padding 1 that a PixelShuffle(2) follows."""
        weight = self._take(f"{name}.weight", 4 * outputs, inputs, 3, 3)
        return rewrites.from_shuffle(weight, self._bias(name, 4 * outputs))

    def upsampling(self, name: str, inputs: int, outputs: int, *, transpose_kernel: int) -> Convolution:
        """Take an upsampling layer, whatever its kind (see `blocks.make_upsampling`).

        `transpose_kernel`: side of the kernel where it is a transposed convolution, 3 or 4.
        """
        if self._spec.upsample == "resize":
            weight = self._take(f"{name}.1.weight", outputs, inputs, 3, 3)
            return rewrites.from_resize(weight, self._bias(f"{name}.1", outputs))
        if self._spec.upsample == "shuffle":
            return self.shuffled(f"{name}.0", inputs, outputs)
        weight = self._take(f"{name}.weight", inputs, outputs, transpose_kernel, transpose_kernel)
        rewrite = rewrites.from_transpose_3 if transpose_kernel == 3 else rewrites.from_transpose_4
        return rewrite(weight, self._bias(name, outputs))

    def batch_norm(self, name: str, channels: int, *, epsilon: float = EPSILON) -> tuple[Array, Array]:
        """Take a BatchNorm2d as (scale, shift) of its running statistics."""
        scale, shift = self.scale_and_shift(name, channels)
        mean = self._take(f"{name}.running_mean", channels)
        variance = self._take(f"{name}.running_var", channels)
        factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
        return factor.astype(np.float32), (shift - mean * factor).astype(np.float32)

    def scale_and_shift(self, name: str, channels: int) -> tuple[Array, Array]:
        """Take a norm's own weights."""
        return self._take(f"{name}.weight", channels), self._take(f"{name}.bias", channels)

    def check_all_taken(self) -> None:
        """Complain of arrays that no layer asked for."""
        if self._left:
            raise ModelFileError(f"{_MISFIT}: {min(self._left)} is in no layer")

    def _bias(self, name: str, channels: int) -> Array:
        if f"{name}.bias" not in self._left:
            return np.zeros(channels, np.float32)
        return self._take(f"{name}.bias", channels)

    def _take(self, name: str, *shape: int) -> Array:
        array = self._left.pop(name, None)
        if array is None or array.shape != shape:
            found = "missing" if array is None else f"of shape {array.shape} where {shape} is needed"
            raise ModelFileError(f"{_MISFIT}: {name} is {found}")
        return array.astype(np.float32, copy=False)
