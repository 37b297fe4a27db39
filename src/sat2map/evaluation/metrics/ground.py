"""Scores of a map on the ground, in metres: thin things within a buffer, and whole objects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sat2map.evaluation.metrics.classes import Counts

Mask = npt.NDArray[np.bool_]

MATCH_IOU = 0.5  # objects with more than this in common are the same one; so none is matched twice
STRIP = 1024  # rows whose distances are in memory at once


def buffer_counts(fake: Mask, target: Mask, buffer: float, pixel: tuple[float, float]) -> Counts:
    """Count pixels of each mask that lie within a buffer around the other.

    The relaxed precision and recall of Mnih and Hinton 2010, "Learning to detect roads in high-resolution
    aerial images", with the buffer in metres.

    Args:
        fake: bool (h, w).
        target: bool (h, w).
        buffer: Distance between pixels' centres up to which they count as hits (m).
        pixel: Height and width of a pixel (m).
    """
    return Counts.of(fake, target, _near(fake, buffer, pixel), _near(target, buffer, pixel))


def _near(mask: Mask, buffer: float, pixel: tuple[float, float]) -> Mask:
    """Return the pixels within a distance of a mask, bool (h, w), by strips that overlap as far."""
    reach = int(buffer / pixel[0]) + 1
    near = np.zeros_like(mask)
    for top in range(0, len(mask), STRIP):
        first, last = max(0, top - reach), min(len(mask), top + STRIP + reach)
        part = mask[first:last]
        if part.any():
            distance = ndimage.distance_transform_edt(~part, sampling=pixel)
            near[top : top + STRIP] = (distance <= buffer + 1e-9)[top - first : top - first + STRIP]
    return near


class ObjectCounts(NamedTuple):
    """Objects of a map and of the truth.

    Attributes:
        matched: Pairs that are the same object.
        fake: Objects of the map that count.
        target: Objects of the truth that count.
    """

    matched: int
    fake: int
    target: int

    @property
    def precision(self) -> float:
        """Share of the map's objects that are true ones, 0..1, NaN if there is none."""
        return self.matched / self.fake if self.fake else float("nan")

    @property
    def recall(self) -> float:
        """Share of the true objects that the map has, 0..1, NaN if there is none."""
        return self.matched / self.target if self.target else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both, the recognition quality of Kirillov et al. 2019, arXiv:1801.00868."""
        total = self.fake + self.target
        return 2 * self.matched / total if total else float("nan")


def match_objects(
    fake: npt.NDArray[np.integer], target: npt.NDArray[np.integer], *, min_pixels: float = 1
) -> ObjectCounts:
    """Match the objects of two maps whose intersection over union is above `MATCH_IOU`.

    Args:
        fake: Numbers of the map's objects, int (h, w), 0 where there is none; see `label_objects`.
        target: Numbers of the true objects.
        min_pixels: Smaller objects count only where they are matched.
    """
    fake_sizes, target_sizes = np.bincount(fake.ravel()), np.bincount(target.ravel())
    both = (fake > 0) & (target > 0)
    pairs, common = np.unique(
        target[both].astype(np.int64) * len(fake_sizes) + fake[both], return_counts=True
    )
    targets, fakes = np.divmod(pairs, len(fake_sizes))
    same = common > MATCH_IOU * (fake_sizes[fakes] + target_sizes[targets] - common)
    counted = []
    for sizes, matched in ((fake_sizes, fakes[same]), (target_sizes, targets[same])):
        counts = sizes >= max(1.0, min_pixels)
        counts[matched] = True
        counted.append(int(np.count_nonzero(counts[1:])))
    return ObjectCounts(int(np.count_nonzero(same)), *counted)


def label_objects(mask: Mask) -> npt.NDArray[np.int32]:
    """Number the 4-connected patches of a mask from 1, int32 (h, w), 0 outside."""
    numbers: npt.NDArray[np.int32] = ndimage.label(mask)[0]
    return numbers
