"""Scores of class maps: IoU of classes, precision and recall of thin things such as roads and edges.

All are counts that add up over a data set; a score is taken of the sum, not averaged over images, so that
an image with three pixels of water does not weigh as much as one of a harbour.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from sat2map.evaluation.metrics.record import (
    MapPair,
    Metric,
    Part,
    Sums,
    has_class,
    has_palette,
    mean_of_sums,
)
from sat2map.images.palette import Palette

ClassMap = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

ROAD = "road"
_SHOWS: Part = "What the map shows"


def confusion_matrix(fake_classes: ClassMap, target_classes: ClassMap, n: int) -> npt.NDArray[np.int64]:
    """Count the pixels of each pair of classes.

    Args:
        fake_classes: class numbers below `n`, uint8 (h, w).
        target_classes: class numbers below `n`, uint8 (h, w).
        n: number of classes.

    Returns:
        int64 (n, n): entry [t, f] counts the pixels of class t in the target and f in the fake.
    """
    assert fake_classes.shape == target_classes.shape, (fake_classes.shape, target_classes.shape)
    pairs = target_classes.ravel().astype(np.int64) * n + fake_classes.ravel()
    counts = np.bincount(pairs, minlength=n * n)
    assert len(counts) == n * n, "a class number is out of range"
    return counts.reshape(n, n)


def class_iou(confusion: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Intersection over union of each class (Jaccard index), 0..1.

    Args:
        confusion: counts (n, n), as of `confusion_matrix`, summed over the data set.

    Returns:
        float64 (n,), NaN for a class that is neither in the targets nor in the fakes.
    """
    both = np.diagonal(confusion).astype(np.float64)
    either = confusion.sum(axis=0) + confusion.sum(axis=1) - both
    iou = np.full(len(both), np.nan)
    np.divide(both, either, out=iou, where=either > 0)
    return iou


def mean_iou(confusion: npt.NDArray[np.integer]) -> float:
    """Mean of `class_iou` over the classes that occur, 0..1, NaN if none does."""
    iou = class_iou(confusion)
    present = iou[~np.isnan(iou)]
    return float(present.mean()) if present.size else float("nan")


@dataclass(frozen=True)
class Counts:
    """Pixels of a mask that were hit, of how many: `sum(list_of_counts, Counts())` is the data set's.

    Attributes:
        hit_fake: Fake pixels that lie close to a target pixel.
        n_fake: All of them.
        hit_target: Target pixels that lie close to a fake pixel.
        n_target: All of them.
    """

    hit_fake: int = 0
    n_fake: int = 0
    hit_target: int = 0
    n_target: int = 0

    @classmethod
    def of(cls, fake: Mask, target: Mask, near_fake: Mask, near_target: Mask) -> Counts:
        """Count the pixels of two masks, and those that lie near the other one; bool (h, w) each."""
        assert fake.shape == target.shape, (fake.shape, target.shape)
        masks = (fake & near_target, fake, target & near_fake, target)
        return cls(*(int(np.count_nonzero(mask)) for mask in masks))

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: count + getattr(other, name) for name, count in vars(self).items()})

    @property
    def precision(self) -> float:
        """Share of fake pixels that are right, 0..1, NaN if there is none."""
        return self.hit_fake / self.n_fake if self.n_fake else float("nan")

    @property
    def recall(self) -> float:
        """Share of target pixels that are found, 0..1, NaN if there is none."""
        return self.hit_target / self.n_target if self.n_target else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0..1: 0 if one mask is empty, NaN if both are."""
        if self.n_fake == self.n_target == 0:
            return float("nan")
        if self.hit_fake == 0 or self.hit_target == 0:
            return 0.0
        return 2 * self.precision * self.recall / (self.precision + self.recall)


def mask_counts(fake_mask: Mask, target_mask: Mask, tolerance: float = 2) -> Counts:
    """Count hits of one mask near the other, as the boundary F1 of Csurka et al. (BMVC 2013) does.

    The road score is of the masks `classes == palette.index("road")`: the class road alone, without
    highways. The edge score is of `class_edges`.

    Args:
        fake_mask: bool (h, w).
        target_mask: bool (h, w).
        tolerance: pixels as far apart as this (Euclidean, between centres) still count as a hit.
    """
    near_fake, near_target = _grown(fake_mask, tolerance), _grown(target_mask, tolerance)
    return Counts.of(fake_mask, target_mask, near_fake, near_target)


def class_edges(classes: ClassMap, ignored: Mask | None = None) -> Mask:
    """Pixels whose right or lower neighbour has another class, bool (h, w).

    Args:
        classes: class numbers, uint8 (h, w).
        ignored: bool (h, w), pixels that are no neighbours; None: there are none.
    """
    edges = np.zeros(classes.shape, dtype=np.bool_)
    known = np.ones(classes.shape, np.bool_) if ignored is None else ~ignored
    edges[:, :-1] |= (classes[:, :-1] != classes[:, 1:]) & known[:, 1:]
    edges[:-1] |= (classes[:-1] != classes[1:]) & known[1:]
    return edges


def _grown(mask: Mask, radius: float) -> Mask:
    """Pixels within `radius` of the mask: drawn once for each step in a disc, cheaper than distances."""
    height, width = mask.shape
    r = int(radius)
    canvas = np.zeros((height + 2 * r, width + 2 * r), dtype=np.bool_)
    for dy in range(-r, r + 1):
        for dx in range(-r, r + 1):
            if dy * dy + dx * dx <= radius * radius:
                canvas[r + dy : r + dy + height, r + dx : r + dx + width] |= mask
    return canvas[r : r + height, r : r + width]


def class_iou_metric(name: str) -> Metric:
    """Return the metric that is the IoU of the class `name`."""

    def measure(pair: MapPair) -> tuple[float, float]:
        fake, target = pair.masks(name)
        return float(np.count_nonzero(fake & target)), float(np.count_nonzero(fake | target))

    return Metric(
        f"iou_{name}",
        f"IoU {name}",
        f"overlap of the class {name} with the truth, 0 to 1",
        "Each class",
        measure=measure,
        score=mean_of_sums,
        applies_to=has_class(name),
    )


def _measure_confusion(pair: MapPair) -> Sums:
    assert pair.palette is not None
    fake, target = pair.fake_classes, pair.target_classes
    if pair.ignored is not None:
        fake, target = fake[~pair.ignored], target[~pair.ignored]
    counts = confusion_matrix(fake, target, len(pair.palette.classes))
    return counts.ravel().astype(np.float64)


def _score_confusion(sums: Sums) -> float:
    side = math.isqrt(len(sums))
    return mean_iou(sums.reshape(side, side).astype(np.int64))


def _f1_metric(
    name: str,
    what: str,
    tolerance: int,
    masks: Callable[[MapPair], tuple[Mask, Mask]],
    applies_to: Callable[[Palette | None], bool] = has_palette,
) -> Metric:
    return Metric(
        f"{name}_f1",
        f"{name} F1",
        f"{what}, within {tolerance} px, 0 to 1",
        _SHOWS,
        measure=lambda pair: astuple(mask_counts(*masks(pair), tolerance)),
        score=lambda sums: Counts(*sums).f1,
        applies_to=applies_to,
    )


def _edges(pair: MapPair) -> tuple[Mask, Mask]:
    fake, target = (class_edges(one, pair.ignored) for one in (pair.fake_classes, pair.target_classes))
    return pair.counted(fake), pair.counted(target)


MEAN_IOU = Metric(
    "mean_iou",
    "mean class IoU",
    "overlap of classes with the truth, mean over classes, 0 to 1",
    _SHOWS,
    measure=_measure_confusion,
    score=_score_confusion,
    applies_to=has_palette,
)

METRICS = (
    MEAN_IOU,
    _f1_metric("road", "roads found and not invented", 2, lambda pair: pair.masks(ROAD), has_class(ROAD)),
    _f1_metric("edge", "borders between classes", 2, _edges),
    _f1_metric("boundary", "borders between classes", 1, _edges),
)
