"""Test-time augmentation over the eight right-angle symmetries of an image.

The ground has no upright direction, so a network should give the same map of a rotated or mirrored image. The
mean of the eight outputs is a little better than one of them, and their spread is a measure of uncertainty.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sat2map.inference.blending import Run

SYMMETRIES = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))


def transform(image: NDArray[np.float32], turns: int, *, mirrored: bool) -> NDArray[np.float32]:
    """Rotate images (..., h, w) by quarter turns, then mirror them left to right."""
    turned = np.rot90(image, turns, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)


def invert(image: NDArray[np.float32], turns: int, *, mirrored: bool) -> NDArray[np.float32]:
    """Undo `transform`."""
    return np.rot90(image[..., ::-1] if mirrored else image, -turns, axes=(-2, -1))


def tta_outputs(run: Run, batch: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the network's outputs for each symmetry, inverted; those of the image as it is come first.

    Args:
        run: The network on a batch.
        batch: float32 (n, bands, h, w); one symmetry at a time is run, so memory stays that of one.
    """
    for turns, mirrored in SYMMETRIES:
        yield invert(run(transform(batch, turns, mirrored=mirrored)), turns, mirrored=mirrored)


def average(run: Run) -> Run:
    """Return a network whose outputs are the mean over the eight symmetries, at eight times the cost."""

    def mean(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs = tta_outputs(run, batch)
        total = next(outputs).copy()
        for out in outputs:
            total += out
        return total / np.float32(len(SYMMETRIES))

    return mean
