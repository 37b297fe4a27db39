"""Owns the centre lines of roads: the skeleton of their pixels, joined into lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from skimage.morphology import skeletonize

# Half of the eight neighbours: each step between two pixels is taken once.
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


def centre_lines(mask: NDArray[np.bool_], *, shortest: float, tolerance: float) -> NDArray[Any]:
    """Return the middle lines of a mask as shapely lines in pixels (x: column, y: row; centres at .5).

    Args:
        mask: bool (h, w).
        shortest: Dead ends shorter than this are whiskers of the skeleton, and are left out (px).
        tolerance: How far a simplified line may stray (px).
    """
    skeleton: NDArray[np.bool_] = skeletonize(mask)  # type: ignore[no-untyped-call]
    lines = _join(_steps(skeleton))
    lines = _join(_without_whiskers(lines, shortest))
    return np.asarray(shapely.simplify(lines, tolerance))


def _steps(skeleton: NDArray[np.bool_]) -> NDArray[Any]:
    """Return a line for each pair of neighbours; a diagonal only where no corner joins them already."""
    height, width = skeleton.shape
    padded = np.pad(skeleton, 1)
    lines = []
    for down, across in _STEPS:
        other = padded[1 + down : 1 + down + height, 1 + across : 1 + across + width]
        joined = skeleton & other
        if down and across:
            beside = padded[1 : 1 + height, 1 + across : 1 + across + width]
            below = padded[1 + down : 1 + down + height, 1 : 1 + width]
            joined &= ~beside & ~below
        rows, columns = np.nonzero(joined)
        start = np.stack([columns, rows], axis=1) + 0.5
        lines.append(np.stack([start, start + np.array([across, down])], axis=1))
    return np.asarray(shapely.linestrings(np.concatenate(lines)))


def _join(lines: NDArray[Any]) -> NDArray[Any]:
    if not len(lines):
        return lines
    merged = shapely.line_merge(shapely.multilinestrings(lines))
    return np.asarray(shapely.get_parts(merged))


def _without_whiskers(lines: NDArray[Any], shortest: float) -> NDArray[Any]:
    """Leave out short lines that end nowhere at one end; a line that ends nowhere at both is a road."""
    if not len(lines):
        return lines
    ends = np.stack([shapely.get_coordinates(shapely.get_point(lines, i)) for i in (0, -1)], axis=1)
    _, which, count = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True, return_counts=True)
    free = (count[which.ravel()] == 1).reshape(-1, 2)
    whisker = (free.sum(axis=1) == 1) & (shapely.length(lines) < shortest)
    kept: NDArray[Any] = lines[~whisker]
    return kept
