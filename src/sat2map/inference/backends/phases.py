"""Logits of colours as OpenVINO's graph gives them: the four pixels of each 2×2 block one after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sat2map.inference.likeliest import likeliest
from sat2map.inference.tiling import Area


def join_phases(phases: NDArray[np.float32]) -> NDArray[np.float32]:
    """Do a depth-to-space, in one pass where runtimes take three.

    Args:
        phases: float32 (n, 4·c, h, w): c channels each of the pixels (0, 0), (0, 1), (1, 0) and (1, 1) of 2×2
            blocks.

    Returns:
        float32 (n, c, 2h, 2w).
    """
    count, channels, height, width = phases.shape
    apart = phases.reshape(count, 2, 2, channels // 4, height, width)
    joined = np.empty((count, channels // 4, height, 2, width, 2), np.float32)
    for channel in range(channels // 4):  # one at a time: its rows stay in the cache for all four
        for y, x in np.ndindex(2, 2):
            joined[:, channel, :, y, :, x] = apart[:, y, x, channel]
    return joined.reshape(count, channels // 4, 2 * height, 2 * width)


def likeliest_of_phases(phases: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the numbers of the largest outputs, uint8 (n, 2h, 2w), of outputs as `join_phases` takes them.

    They are those of the joined outputs. Joining the numbers moves a byte for a pixel, joining the outputs
    four for each output.
    """
    count, channels, height, width = phases.shape
    apart = phases.reshape(count, 2, 2, channels // 4, height, width)
    joined = np.empty((count, height, 2, width, 2), np.uint8)
    for image, y, x in np.ndindex(count, 2, 2):
        joined[image, :, y, :, x] = likeliest(apart[image, y, x])
    return joined.reshape(count, 2 * height, 2 * width)


def join_around(phases: NDArray[np.float32], inside: Area) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Join the outputs of one image around a rectangle, and give the numbers of the largest ones in it.

    Args:
        phases: float32 (1, 4·c, h, w), as `join_phases` takes them.
        inside: The rectangle; its sides are even numbers of the joined pixels.

    Returns:
        float32 (c, 2h, 2w), undefined in the rectangle, and uint8 (inside.height, inside.width).
    """
    _, channels, height, width = phases.shape
    apart = phases.reshape(2, 2, channels // 4, height, width)
    joined = np.empty((channels // 4, height, 2, width, 2), np.float32)
    half = Area(*(side // 2 for side in (inside.top, inside.left, inside.bottom, inside.right)))
    around = half.around(Area(0, 0, height, width))
    for channel in range(channels // 4):
        for y, x in np.ndindex(2, 2):
            for part in around:
                joined[channel, part.rows, y, part.columns, x] = apart[y, x, channel, part.rows, part.columns]
    numbers = likeliest_of_phases(phases[:, :, half.rows, half.columns])[0]
    return joined.reshape(channels // 4, 2 * height, 2 * width), numbers
