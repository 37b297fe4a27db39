"""Whether a map shows each object of a class, however exact its outline: recall of buildings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sat2map.evaluation.metrics.record import MapPair, Metric, has_class, mean_of_sums

BUILDING = "building"
MIN_PIXELS = 12  # smaller patches are seams of anti-aliasing rather than buildings
MIN_OVERLAP = 0.5  # share of an object's pixels that must have its class


def object_recall(
    fake: npt.NDArray[np.bool_], target: npt.NDArray[np.bool_], *, min_pixels: int = MIN_PIXELS
) -> tuple[int, int]:
    """Count the objects of a mask that another mask shows.

    Objects are 4-connected patches of the target after an opening with 3 × 3 pixels, which removes the lines
    of one or two pixels that anti-aliasing leaves along roads.

    Args:
        fake: bool (h, w).
        target: bool (h, w).
        min_pixels: Smaller objects do not count.

    Returns:
        Objects of which `fake` covers half or more, and objects in all.
    """
    objects, count = ndimage.label(ndimage.binary_opening(target, np.ones((3, 3), np.bool_)))
    sizes = np.bincount(objects.ravel(), minlength=count + 1)[1:]
    hits = np.bincount(objects.ravel(), weights=fake.ravel(), minlength=count + 1)[1:]
    counted = sizes >= min_pixels
    return int(np.count_nonzero(counted & (hits >= MIN_OVERLAP * sizes))), int(np.count_nonzero(counted))


def _measure(pair: MapPair) -> tuple[float, float]:
    return object_recall(*pair.masks(BUILDING))


METRICS = (
    Metric(
        "building_recall",
        "buildings shown",
        "share of the real map's buildings of which half or more is drawn as building, 0 to 1",
        "What the map shows",
        measure=_measure,
        score=mean_of_sums,
        applies_to=has_class(BUILDING),
    ),
)
