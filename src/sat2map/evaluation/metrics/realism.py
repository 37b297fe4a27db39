"""How far a set of generated maps looks from a set of real ones, whatever each one shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sat2map.errors import DataError
from sat2map.evaluation.metrics.record import ScoreInfo

Image = npt.NDArray[np.uint8]
Planes = npt.NDArray[np.float32]
Patches = npt.NDArray[np.float32]

SWD = ScoreInfo(
    "swd",
    "sliced Wasserstein",
    "distance of the set's textures from real maps', times 1000",
    "How the set looks",
    digits=1,
    higher_is_better=False,
)

_PATCH = 7
_SMALLEST_LEVEL = 16
_PATCHES_PER_IMAGE = 128  # of each level
_PROJECTIONS, _PROJECTIONS_AT_ONCE = (
    512,
    128,
)  # as the authors' code; the latter bounds the memory of the sort
# Levels of a constant image hold rounding errors of 1e-5 grey levels, which normalising must not blow up.
_LEAST_DEVIATION = 1e-2
_BINOMIAL = np.array([1, 4, 6, 4, 1], dtype=np.float32) / 16


@dataclass(frozen=True)
class SlicedWasserstein:
    """Sliced Wasserstein distances times 1000 (0 is best)."""

    levels: dict[int, float]
    """By the shorter side of the pyramid's level in pixels, finest (texture) to coarsest (layout)."""

    @property
    def mean(self) -> float:
        """Mean over the levels."""
        return sum(self.levels.values()) / len(self.levels)


def sliced_wasserstein(
    fakes: Sequence[Image] | Image, targets: Sequence[Image] | Image, *, seed: int = 0
) -> SlicedWasserstein:
    """Compare two sets of images by the distributions of their patches, at every scale from 16 pixels up.

    Karras et al. 2018, "Progressive Growing of GANs", section 5: 7 x 7 patches of each level of a Laplacian
    pyramid, normalised by the mean and standard deviation of each channel over their set, are projected on
    random directions; the distance is the mean gap of the sorted projections. In one thing we differ from the
    authors' code: patches are cut at the same places from both sets, so that a set is at distance 0 from
    itself, not at the noise of the sampling. Normalising hides a change of brightness or contrast of a whole
    set.

    Needs about 0.8 MB of memory for a pair of 256 x 256 images.

    Args:
        fakes: uint8 (n, h, w, 3), or a sequence of n images (h, w, 3) of one size.
        targets: likewise; the longer set is cut to the length of the shorter.
        seed: of the places and the directions; the result depends on nothing else.

    Raises:
        DataError: There is no image, an image is smaller than 16 pixels, or sizes differ.
    """
    count = min(len(fakes), len(targets))
    if count == 0:
        raise DataError("the sliced Wasserstein distance needs at least one pair of images")
    height, width = targets[0].shape[:2]
    if min(height, width) < _SMALLEST_LEVEL:
        raise DataError(
            f"the sliced Wasserstein distance needs images of {_SMALLEST_LEVEL} pixels a side or more, "
            f"not {width} x {height}"
        )
    for image in (*fakes[:count], *targets[:count]):
        if image.shape[:2] != (height, width):
            raise DataError(
                f"the sliced Wasserstein distance needs images of one size, "
                f"not {width} x {height} and {image.shape[1]} x {image.shape[0]}"
            )
    fake_patches = _patches(fakes[:count], seed)
    target_patches = _patches(targets[:count], seed)
    rng = np.random.default_rng([seed, 1])
    levels = {}
    for side, patches in target_patches.items():
        fake, target = _normalised(fake_patches[side]), _normalised(patches)
        levels[side] = 1e3 * _distance(fake, target, _PROJECTIONS, rng)
    return SlicedWasserstein(levels)


def _patches(images: Sequence[Image] | Image, seed: int) -> dict[int, Patches]:
    """Patches float32 (n * _PATCHES_PER_IMAGE, 3, 7, 7) of each level, by the level's shorter side."""
    rng = np.random.default_rng([seed, 0])
    found: dict[int, list[Patches]] = {}
    for image in images:
        for level in _laplacian_pyramid(image):
            windows = np.lib.stride_tricks.sliding_window_view(level, (_PATCH, _PATCH), axis=(1, 2))
            rows = rng.integers(windows.shape[1], size=_PATCHES_PER_IMAGE)
            columns = rng.integers(windows.shape[2], size=_PATCHES_PER_IMAGE)
            found.setdefault(min(level.shape[1:]), []).append(windows[:, rows, columns].swapaxes(0, 1))
    return {side: np.concatenate(patches) for side, patches in found.items()}


def _laplacian_pyramid(image: Image) -> list[Planes]:
    """Levels float32 (3, h, w), halved down to 16 pixels: what each loses to the next; the last one whole."""
    levels = [np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)]
    while min(levels[-1].shape[1:]) >= 2 * _SMALLEST_LEVEL:
        finer = levels[-1]
        coarser = _smoothed(finer)[:, ::2, ::2]
        spread = np.zeros_like(finer)
        spread[:, ::2, ::2] = 4 * coarser
        levels[-1] = finer - _smoothed(spread)
        levels.append(coarser)
    return levels


def _smoothed(planes: Planes) -> Planes:
    rows = ndimage.correlate1d(planes, _BINOMIAL, axis=1, mode="mirror")
    smoothed: Planes = ndimage.correlate1d(rows, _BINOMIAL, axis=2, mode="mirror")
    return smoothed


def _normalised(patches: Patches) -> Patches:
    """Patches (n, 3, 7, 7) to vectors (n, 147) whose channels have mean 0 and deviation 1 over the set."""
    deviation = patches.std(axis=(0, 2, 3), keepdims=True)
    deviation[deviation < _LEAST_DEVIATION] = 1
    normalised: Patches = (patches - patches.mean(axis=(0, 2, 3), keepdims=True)) / deviation
    return normalised.reshape(len(patches), -1)


def _distance(fake: Patches, target: Patches, projections: int, rng: np.random.Generator) -> float:
    """Mean Wasserstein-1 distance of two sets of vectors (n, 147), projected on random unit vectors."""
    gaps = 0.0
    for start in range(0, projections, _PROJECTIONS_AT_ONCE):
        size = min(_PROJECTIONS_AT_ONCE, projections - start)
        directions = rng.standard_normal((fake.shape[1], size), dtype=np.float32)
        directions /= np.linalg.norm(directions, axis=0)
        gap = np.abs(np.sort(fake @ directions, axis=0) - np.sort(target @ directions, axis=0))
        gaps += float(gap.mean(dtype=np.float64)) * size
    return gaps / projections
