"""The networks behind FID, KID and LPIPS, where the user gives their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import SettingsError
from sat2map.evaluation.result import MetricWeights
from sat2map.extras import require
from sat2map.files import sha256_of
from sat2map.settings import Device

if TYPE_CHECKING:
    from sat2map.evaluation.perceptual.inception import FidInception
    from sat2map.evaluation.perceptual.lpips import Lpips
    from sat2map.evaluation.perceptual.published_weights import Published


_BATCH = 8  # images that the Inception sees at once


class PerceptualMetrics(NamedTuple):
    """Networks behind perceptual metrics; None where no weights were given."""

    inception: FidInception | None = None
    lpips: Lpips | None = None
    files: tuple[MetricWeights, ...] = ()


def load_perceptual_metrics(
    inception: Path | None, lpips: tuple[Path, Path] | None, *, bands: int, size: int, device: Device
) -> PerceptualMetrics:
    """Load the networks whose weights are given, after checking that they apply to these maps.

    The maps have `size` px a side.

    Raises:
        SettingsError: The maps are no RGB images, or are too small.
        ModelFileError: A file is missing, damaged, or of another network.
        MissingExtraError: PyTorch is not installed.
    """
    if inception is None and lpips is None:
        return PerceptualMetrics()
    if bands != 3:
        name = "inception" if inception else "lpips"
        raise SettingsError(
            f"{name} compares RGB images, and this model draws {bands} bands",
            hint="leave it out",
            setting=name,
        )
    require("torch", "FID, KID and LPIPS", "train")
    from sat2map.evaluation.perceptual.lpips import LEAST_SIDE
    from sat2map.evaluation.perceptual.published_weights import (
        BACKBONE,
        HEADS,
        INCEPTION,
        open_inception,
        open_lpips,
    )

    if lpips and size < LEAST_SIDE:
        raise SettingsError(
            f"LPIPS needs images of {LEAST_SIDE} px or more, not {size}",
            hint="compare larger images",
            setting="size",
        )
    metrics = PerceptualMetrics(
        open_inception(inception, device) if inception else None,
        open_lpips(*lpips, device) if lpips else None,
    )
    files = [_describe(INCEPTION, inception)] if inception else []
    files += [_describe(BACKBONE, lpips[0]), _describe(HEADS, lpips[1])] if lpips else []
    return metrics._replace(files=tuple(files))


def _describe(weights: Published, path: Path) -> MetricWeights:
    sha256 = sha256_of(path)
    return MetricWeights(
        network=weights.what, file=path.name, sha256=sha256, published=sha256 == weights.sha256
    )


class FeatureExtractor:
    """Runs the Inception on images, a batch at a time, and keeps their features."""

    def __init__(self, inception: FidInception) -> None:
        self._inception = inception
        self._waiting: list[NDArray[np.uint8]] = []
        self._seen: list[NDArray[np.float32]] = []

    def update(self, image: NDArray[np.uint8]) -> None:
        """Take in an image, uint8 (h, w, 3)."""
        self._waiting.append(image)
        if len(self._waiting) == _BATCH:
            self._look()

    def compute(self) -> NDArray[np.float32]:
        """Return the features of all images so far, float32 (n, 2048)."""
        if self._waiting:
            self._look()
        return np.concatenate(self._seen)

    def _look(self) -> None:
        self._seen.append(self._inception.features(np.stack(self._waiting)))
        self._waiting.clear()
