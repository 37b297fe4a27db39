"""What photos suffer on their way to a model: degradations, and the map of a degraded source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sat2map.evaluation.baselines import as_jpeg
from sat2map.images.pixels import resize
from sat2map.inference import Translator
from sat2map.models.model_file import ModelHeader

Pixels = NDArray[np.uint8]

SCORES = ("mean_iou", "road_f1", "l1")  # what the robustness table shows
RESOLUTIONS = (0.45, 0.6, 1.2, 1.5, 2.1, 2.4)  # metres per pixel; imagery that people have
MIN_SIDE = 32  # px; smaller sources say nothing


@dataclass(frozen=True)
class Degradation:
    """One way in which a source gets worse, or comes at another scale.

    Attributes:
        name: What the table calls it; blur in pixels, noise in grey levels.
        apply: The degraded source of uint8 (h, w, bands), with random numbers where it needs them.
        gsd: Metres per pixel of the degraded source, which the translator is given; None: not given.
    """

    name: str
    apply: Callable[[Pixels, np.random.Generator], Pixels]
    gsd: float | None = None

    def translate(self, translator: Translator, source: Pixels, image: int) -> Pixels:
        """Return the map of a degraded source, uint8 of the translator's size for it.

        Args:
            translator: The model.
            source: uint8 (h, w, bands).
            image: Number of the image; noise depends on it alone.
        """
        degraded = self.apply(source, np.random.default_rng(image))
        return translator(degraded) if self.gsd is None else translator(degraded, gsd=self.gsd)


PHOTO_DEGRADATIONS = (
    Degradation("JPEG quality 50", lambda source, _: as_jpeg(source, 50)),
    Degradation("JPEG quality 25", lambda source, _: as_jpeg(source, 25)),
    Degradation("blur sigma 1 px", lambda source, _: _blurred(source, 1)),
    Degradation("blur sigma 2 px", lambda source, _: _blurred(source, 2)),
    Degradation("noise sigma 5", lambda source, rng: _levels(source + rng.normal(0, 5, source.shape))),
    Degradation("noise sigma 15", lambda source, rng: _levels(source + rng.normal(0, 15, source.shape))),
    Degradation("brightness x0.7", lambda source, _: _levels(source * 0.7)),
    Degradation("brightness x1.3", lambda source, _: _levels(source * 1.3)),
)


def degradations_for(header: ModelHeader, size: int) -> list[Degradation]:
    """Return the degradations that apply to a model.

    Sources are resampled to `RESOLUTIONS`, with their resolution given, where the model knows its own; else
    to half and twice their size, with nothing given.
    """
    scales: list[tuple[str, float, float | None]]
    if header.gsd is None:
        scales = [(f"scale x{factor:g}", factor, None) for factor in (0.5, 2.0)]
    else:
        scales = [(f"{gsd:g} m per pixel", header.gsd / gsd, gsd) for gsd in RESOLUTIONS]
    return [
        *PHOTO_DEGRADATIONS,
        *(
            Degradation(name, lambda source, _, factor=factor: _scaled(source, factor), gsd)  # type: ignore[misc]
            for name, factor, gsd in scales
            if size * factor >= MIN_SIDE
        ),
    ]


def _blurred(source: Pixels, sigma: float) -> Pixels:
    return _levels(ndimage.gaussian_filter(source.astype(np.float32), (sigma, sigma, 0)))


def _scaled(source: Pixels, factor: float) -> Pixels:
    height, width = source.shape[:2]
    return resize(source, round(height * factor), round(width * factor))


def _levels(values: NDArray[np.floating]) -> Pixels:
    levels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels
