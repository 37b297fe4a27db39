"""Resampling of a network's outputs to another grid, block by block, so that blocks join without seams."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sat2map.inference.blending import Block
from sat2map.inference.tiling import Area


class Neighbours(NamedTuple):
    """Between which two inputs along an axis some outputs lie.

    Attributes:
        before: Number of the first of the two, int64 (outputs,).
        after: Number of the second; the same at the end of the axis.
        weight: That of the second, float32 (outputs,); the first has the rest.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    weight: NDArray[np.float32]

    def moved(self, by: int) -> Neighbours:
        """Return the same with other numbers for the inputs."""
        return Neighbours(self.before + by, self.after + by, self.weight)


@dataclass(frozen=True)
class AxisResampling:
    """Linear interpolation along one axis, with both grids beginning at the same edge.

    Where the result is coarser, the filter is as much wider (a triangle), so that every input pixel counts.

    Attributes:
        inputs: Length of the axis before (px).
        outputs: Length of the axis after (px).
        scale: Input pixels for each output pixel.
    """

    inputs: int
    outputs: int
    scale: float

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return self.scale == 1 and self.inputs == self.outputs

    @property
    def margin(self) -> int:
        """Input pixels before a block's own that its outputs may need."""
        return 0 if self.is_identity else math.ceil(2 * self._reach)

    @property
    def _reach(self) -> float:
        return max(1.0, self.scale)

    def needed(self, first: int, last: int) -> tuple[int, int]:
        """Return the first input, and the one behind the last, that some outputs need."""
        if self.is_identity:
            return first, last
        low, high = self._window(np.array([first, last - 1]))
        return int(low[0]), int(high[1]) + 1

    def finished_by(self, first: int, last: int) -> tuple[int, int]:
        """Return the outputs that become possible with the inputs from `first` to before `last`."""
        if self.is_identity:
            return first, last
        _, high = self._window(np.arange(self.outputs))
        begin, end = np.searchsorted(high, [first, last])
        return int(begin), int(end)

    def resample(
        self, values: NDArray[np.float32], start: int, first: int, last: int, *, axis: int
    ) -> NDArray[np.float32]:
        """Return the outputs from `first` to before `last` along an axis of float32 (channels, h, w).

        Args:
            values: The inputs from number `start` on.
            start: Number of the first input in `values`.
            first: First output.
            last: Behind the last output.
            axis: 1 for rows, 2 for columns.
        """
        if self.is_identity:
            same: NDArray[np.float32] = values.take(np.arange(first, last) - start, axis=axis)
            return same
        if axis == 1 and self.scale < 1:
            return self._enlarge_rows(values, start, first, last)
        taps, weights = self._taps(first, last)
        weights = weights.reshape(len(weights), *((-1, 1) if axis == 1 else (1, -1)))
        out: NDArray[np.float32] = values.take(taps[0] - start, axis=axis)
        out *= weights[0]
        for tap, weight in zip(taps[1:], weights[1:], strict=True):
            part = values.take(tap - start, axis=axis)
            part *= weight
            out += part
        return out

    def neighbours(self, first: int, last: int, start: int) -> Neighbours:
        """Return between which inputs the outputs from `first` to before `last` lie, where these are finer.

        Args:
            first: First output.
            last: Behind the last output.
            start: Number of the input that counts as 0.
        """
        centres = self._centres(np.arange(first, last))
        before = np.floor(centres).astype(np.int64)
        after = np.minimum(before + 1, self.inputs - 1)
        return Neighbours(before - start, after - start, (centres - before).astype(np.float32))

    def _enlarge_rows(
        self, values: NDArray[np.float32], start: int, first: int, last: int
    ) -> NDArray[np.float32]:
        """Do what `resample` does where rows of the result share their two rows, in a third of its time."""
        above, _, weights = self.neighbours(first, last, 0)
        out = np.empty((len(values), last - first, values.shape[2]), np.float32)
        ends = [*(np.flatnonzero(np.diff(above)) + 1).tolist(), last - first]
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            row = int(above[begin])
            upper = values[:, row - start, None]
            if row + 1 == self.inputs or not weights[begin:end].any():
                out[:, begin:end] = upper
                continue
            step = values[:, row + 1 - start, None] - upper
            np.multiply(step, weights[begin:end, None], out=out[:, begin:end])
            out[:, begin:end] += upper
        return out

    def _taps(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return inputs and their weights for some outputs, each (taps, last - first)."""
        outputs = np.arange(first, last)
        low, high = self._window(outputs)
        taps = low + np.arange(int((high - low).max()) + 1)[:, None]
        weights = np.maximum(0, 1 - np.abs(taps - self._centres(outputs)) / self._reach)
        weights[taps > high] = 0
        return np.minimum(taps, high), (weights / weights.sum(axis=0)).astype(np.float32)

    def _centres(self, outputs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the outputs' centres in numbers of input pixels, where they lie within the inputs."""
        return np.clip((outputs + 0.5) * self.scale - 0.5, 0, self.inputs - 1)

    def _window(self, outputs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the first and the last input of non-zero weight for each output."""
        centres = self._centres(outputs)
        low = np.floor(centres - self._reach).astype(np.int64) + 1
        high = np.ceil(centres + self._reach).astype(np.int64) - 1
        return np.clip(low, 0, self.inputs - 1), np.clip(high, 0, self.inputs - 1)


@dataclass(frozen=True)
class Resampling:
    """The way from the network's grid to the output's.

    Attributes:
        rows: Along the height.
        columns: Along the width.
    """

    rows: AxisResampling
    columns: AxisResampling

    @classmethod
    def between(
        cls,
        inputs: tuple[int, int],
        outputs: tuple[int, int],
        scales: tuple[float, float] | None = None,
    ) -> Resampling:
        """Return the way between two sizes (height, width).

        Args:
            inputs: Size on the network's grid (px).
            outputs: Size of the result (px).
            scales: Input pixels per output pixel, down and across; None: both grids end at the same edge.
        """
        down, across = scales or (inputs[0] / outputs[0], inputs[1] / outputs[1])
        return cls(AxisResampling(inputs[0], outputs[0], down), AxisResampling(inputs[1], outputs[1], across))

    @property
    def margin(self) -> int:
        """Input pixels above and left of a block's own that its outputs may need."""
        return max(self.rows.margin, self.columns.margin)

    @property
    def enlarges(self) -> bool:
        """Whether the outputs are finer than the inputs along both axes."""
        return self.rows.scale < 1 and self.columns.scale < 1

    def needed(self, area: Area) -> Area:
        """Return the inputs that an area of the outputs needs."""
        top, bottom = self.rows.needed(area.top, area.bottom)
        left, right = self.columns.needed(area.left, area.right)
        return Area(top, left, bottom, right)

    def finished_by(self, area: Area, wanted: Area) -> Area:
        """Return the outputs within `wanted` that become possible with a block of inputs."""
        top, bottom = self.rows.finished_by(area.top, area.bottom)
        left, right = self.columns.finished_by(area.left, area.right)
        top, left = max(top, wanted.top), max(left, wanted.left)
        return Area(top, left, max(top, min(bottom, wanted.bottom)), max(left, min(right, wanted.right)))

    def apply(self, block: Block, outputs: Area) -> NDArray[np.float32]:
        """Return the outputs of an area that a block has made possible, float32 (channels, height, width)."""
        assert block.values is not None
        top, left = block.area.top - block.margin[0], block.area.left - block.margin[1]
        if self.margin == 0:
            return block.values[
                :, outputs.top - top : outputs.bottom - top, outputs.left - left : outputs.right - left
            ]
        first, last = self.rows.needed(outputs.top, outputs.bottom)
        rows = block.values[:, first - top : last - top]
        rows = self.columns.resample(rows, left, outputs.left, outputs.right, axis=2)
        return self.rows.resample(rows, first, outputs.top, outputs.bottom, axis=1)
