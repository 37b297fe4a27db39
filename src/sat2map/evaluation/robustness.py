"""Owns what photos suffer on their way to a model: each damage, and a translation of the damaged source."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sat2map.evaluation.baselines import as_jpeg
from sat2map.images.pixels import resize

Pixels = NDArray[np.uint8]
Translate = Callable[[Pixels], Pixels]
Damage = Callable[[Pixels, np.random.Generator], Pixels]

SCORES = ("mean_iou", "road_f1", "l1")  # what the robustness table shows

DAMAGES: dict[str, Damage] = {
    "JPEG quality 50": lambda source, _: as_jpeg(source, 50),
    "JPEG quality 25": lambda source, _: as_jpeg(source, 25),
    "blur sigma 1 px": lambda source, _: _blurred(source, 1),
    "blur sigma 2 px": lambda source, _: _blurred(source, 2),
    "noise sigma 5": lambda source, rng: _levels(source + rng.normal(0, 5, source.shape)),
    "noise sigma 15": lambda source, rng: _levels(source + rng.normal(0, 15, source.shape)),
    "brightness x0.7": lambda source, _: _levels(source * 0.7),
    "brightness x1.3": lambda source, _: _levels(source * 1.3),
    "scale x0.5": lambda source, _: _scaled(source, 0.5),
    "scale x2": lambda source, _: _scaled(source, 2),
}


def translate_damaged(translate: Translate, source: Pixels, damage: str, image: int) -> Pixels:
    """Translate a damaged source.

    Args:
        translate: The model, uint8 (h, w, bands) to uint8 (h, w, target bands).
        source: uint8 (h, w, bands); for "scale x0.5" twice as large a side as the model needs, or more.
        damage: A name of `DAMAGES`. Sigmas are in pixels (blur) and grey levels (noise).
        image: Number of the image; noise depends on it and on nothing else.

    Returns:
        uint8 (h, w, target bands): a map of another scale is resampled to the source's.
    """
    fake = translate(DAMAGES[damage](source, np.random.default_rng(image)))
    return resize(fake, *source.shape[:2])


def _blurred(source: Pixels, sigma: float) -> Pixels:
    return _levels(ndimage.gaussian_filter(source.astype(np.float32), (sigma, sigma, 0)))


def _scaled(source: Pixels, factor: float) -> Pixels:
    height, width = source.shape[:2]
    return resize(source, round(height * factor), round(width * factor))


def _levels(values: NDArray[np.floating]) -> Pixels:
    levels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels
