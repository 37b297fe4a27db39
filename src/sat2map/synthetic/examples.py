"""Drawn towns to try a model on: what the page offers to visitors without an image."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sat2map.synthetic.towns import GSD, GSDS, draw_town

SEEDS: Final = (7, 19, 14, 1)  # towns with water, parks, houses and large roads
SIDE: Final = 512  # px


def draw_example(number: int, gsd: float | None) -> NDArray[np.uint8]:
    """Draw a photo of a town, uint8 (512, 512, 3).

    Args:
        number: Which, 1 to `len(SEEDS)`.
        gsd: Metres per pixel, of the model that is to draw its map; None: unknown.
    """
    low, high = GSDS
    return draw_town(SEEDS[number - 1], size=SIDE, gsd=min(max(gsd or GSD, low), high)).source
