"""Owns the eight right-angle symmetries of a picture: a network run on each of them, and the mean of it.

Ground has no up, so a network should say the same of a turned or mirrored photo. What it does not say eight
times is chance: the mean is a little better than one run, and the spread tells where not to trust it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sat2map.inference.tiling import Run

SYMMETRIES = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))


def turn(image: NDArray[np.float32], turns: int, *, mirrored: bool) -> NDArray[np.float32]:
    """Turn images (..., h, w) by quarter turns, then mirror them left to right."""
    turned = np.rot90(image, turns, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)


def turn_back(image: NDArray[np.float32], turns: int, *, mirrored: bool) -> NDArray[np.float32]:
    """Undo `turn`."""
    return np.rot90(image[..., ::-1] if mirrored else image, -turns, axes=(-2, -1))


def each_way(run: Run, batch: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield what the network says of each symmetry, turned back; the picture as it is comes first.

    Args:
        run: The network on a batch.
        batch: float32 (n, bands, h, w); one at a time is run, so memory stays that of one.
    """
    for turns, mirrored in SYMMETRIES:
        yield turn_back(run(turn(batch, turns, mirrored=mirrored)), turns, mirrored=mirrored)


def averaged(run: Run) -> Run:
    """Return a network that says the mean over the eight symmetries, at eight times the cost."""

    def mean(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        ways = each_way(run, batch)
        total = next(ways).copy()
        for out in ways:
            total += out
        return total / np.float32(len(SYMMETRIES))

    return mean
