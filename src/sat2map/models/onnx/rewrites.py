"""The exact rewrites of weights: norms folded into convolutions, upsampling layers as one convolution.

All upsampling layers double the size. Each becomes an ordinary convolution at the lower size that draws the
four pixels of every 2×2 block as four times the channels, then a depth-to-space. That is the arithmetic of a
transposed convolution (4/9 of a nearest-then-3×3) in a form that every runtime has a fast kernel for.
Weights are NumPy arrays in PyTorch's layouts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
OUTPUTS: Final = 8  # channels of an upsampling layer that are rewritten at a time


@dataclass(frozen=True)
class Convolution:
    """A convolution, and for an upsampling layer what follows it.

    Attributes:
        weight: float32 (outputs, inputs, k, k).
        bias: float32 (outputs,).
        pads: Zero padding (top, left, bottom, right).
        stride: Of the convolution.
        blocks: 2 where the outputs are four phases of 2×2 blocks, in the order of ONNX DepthToSpace mode DCR:
            channel (2·y + x)·c + i is pixel (y, x) of output i of c. 1 where they are plain channels.
        crop: Pixels to cut off each side after the depth-to-space.
        groups: Of the convolution; as many as channels in a depthwise one.
    """

    weight: Array
    bias: Array
    pads: tuple[int, int, int, int]
    stride: int = 1
    blocks: int = 1
    crop: int = 0
    groups: int = 1

    @property
    def channels(self) -> int:
        """Channels of the result, after the depth-to-space."""
        return len(self.bias) // self.blocks**2

    def part(self, start: int, stop: int) -> Convolution:
        """Return the convolution that gives only these channels of the result."""
        weight = self.weight.reshape(self.blocks**2, self.channels, *self.weight.shape[1:])[:, start:stop]
        bias = self.bias.reshape(self.blocks**2, self.channels)[:, start:stop]
        return replace(self, weight=weight.reshape(-1, *weight.shape[2:]), bias=bias.ravel())

    def of_inputs(self, start: int, stop: int) -> Convolution:
        """Return the convolution of these channels of the input alone, with the whole bias."""
        return replace(self, weight=np.ascontiguousarray(self.weight[:, start:stop]))

    def scaled(self, scale: Array, shift: Array) -> Convolution:
        """Return this convolution followed by scale·y + shift; float32 (outputs,) after depth-to-space."""
        scale, shift = (np.tile(values, self.blocks**2) for values in (scale, shift))
        return replace(self, weight=self.weight * scale[:, None, None, None], bias=self.bias * scale + shift)


def from_transpose_4(weight: Array, bias: Array) -> Convolution:
    """Rewrite ConvTranspose2d(kernel 4, stride 2, padding 1).

    Along one axis, output 2i is w[3]·x[i-1] + w[1]·x[i] and output 2i+1 is w[2]·x[i] + w[0]·x[i+1]. Both
    are a window of two neighbours, the second one step further on. So a 2-tap convolution over the input with
    one pixel of padding yields at window p the odd pixel 2p-1 and the even one 2p: one too many at each end.

    Args:
        weight: float32 (inputs, outputs, 4, 4).
        bias: float32 (outputs,).
    """
    odd, even = (2, 0), (3, 1)
    return _phases(weight, bias, (odd, even), pads=(1, 1, 1, 1), crop=1)


def from_transpose_3(weight: Array, bias: Array) -> Convolution:
    """Rewrite ConvTranspose2d(kernel 3, stride 2, padding 1, output padding 1).

    Along one axis, output 2i is w[1]·x[i] and output 2i+1 is w[2]·x[i] + w[0]·x[i+1].

    Args:
        weight: float32 (inputs, outputs, 3, 3).
        bias: float32 (outputs,).
    """
    even, odd = (1, None), (2, 0)
    return _phases(weight, bias, (even, odd), pads=(0, 0, 1, 1), crop=0)


def from_resize(weight: Array, bias: Array) -> Convolution:
    """Rewrite a nearest upsampling by 2 and a 3×3 convolution of padding 1.

    Args:
        weight: float32 (outputs, inputs, 3, 3).
        bias: float32 (outputs,).
    """
    return from_transpose_4(transposed_of_resize(weight), bias)


def transposed_of_resize(weight: Array) -> Array:
    """Return what makes a nearest upsampling by 2 and a 3×3 convolution one ConvTranspose2d(4, 2, 1).

    Two of the three taps fall on the same pixel: along one axis, output 2i is w[0]·x[i-1] + (w[1]+w[2])·x[i]
    and output 2i+1 is (w[0]+w[1])·x[i] + w[2]·x[i+1]. That is a transposed convolution of four taps.

    Args:
        weight: float32 (outputs, inputs, 3, 3), of padding 1.

    Returns:
        float32 (inputs, outputs, 4, 4).
    """
    taps = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float64)
    four: Array = np.einsum("oiyx,Yy,Xx->ioYX", weight.astype(np.float64), taps, taps).astype(np.float32)
    return four


def from_shuffle(weight: Array, bias: Array) -> Convolution:
    """Rewrite a 3×3 convolution of padding 1 and PixelShuffle(2), which orders channels differently.

    Args:
        weight: float32 (4·outputs, inputs, 3, 3).
        bias: float32 (4·outputs,).
    """
    order = np.arange(len(weight)).reshape(-1, 4).T.ravel()
    return Convolution(weight[order], bias[order], (1, 1, 1, 1), blocks=2)


def _phases(
    weight: Array,
    bias: Array,
    taps: tuple[tuple[int, int | None], tuple[int, int | None]],
    *,
    pads: tuple[int, int, int, int],
    crop: int,
) -> Convolution:
    """Gather the taps (first, second neighbour) of each phase, alike on both axes; None is no tap."""
    inputs, outputs, _, _ = weight.shape
    gathered = np.zeros((2, 2, outputs, inputs, 2, 2), np.float32)
    for first in range(0, outputs, OUTPUTS):  # a part of them at a time, which the processor's cache holds
        part = np.ascontiguousarray(weight[:, first : first + OUTPUTS].transpose(2, 3, 1, 0))
        for y, x, i, j in np.ndindex(2, 2, 2, 2):
            row, column = taps[y][i], taps[x][j]
            if row is not None and column is not None:
                gathered[y, x, first : first + OUTPUTS, :, i, j] = part[row, column]
    kernel = gathered.reshape(4 * outputs, inputs, 2, 2)
    return Convolution(kernel, np.tile(bias, 4), pads, blocks=2, crop=crop)
