"""Owns the score sheet: what each image adds up to, and the scores of the sum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sat2map.evaluation import metrics
from sat2map.images.palette import Palette

# Means over images, in the order in which the sums hold them, before those of the judges.
IMAGE_SCORES = ("l1", "rmse", "rmse_gcgan", "psnr", "ssim", "accuracy_5", "accuracy_10")
HIGHER_IS_BETTER = ("psnr", "ssim", "accuracy_5", "accuracy_10", "mean_iou", "road_f1", "edge_f1")
PSNR_CAP = 100.0  # dB; an equal image would make every mean infinite
ROAD = "road"
Judge = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]  # fake and target -> score


class ScoreSheet:
    """Adds up scores of fakes against targets, image by image.

    Every score is a function of sums, so sums of groups of images can be drawn again for an interval
    (`metrics.bootstrap_interval`).

    Args:
        palette: Colours and classes; None leaves the scores of classes out.
        judges: More scores of an image by name, whose means are scores too.
    """

    def __init__(self, palette: Palette | None, judges: Mapping[str, Judge] = MappingProxyType({})) -> None:
        self._palette = palette
        self._judges = judges
        self._means = (*IMAGE_SCORES, *judges)
        self._groups: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(self._length))

    def add(self, fake: NDArray[np.uint8], target: NDArray[np.uint8], group: str) -> dict[str, float]:
        """Add one image, uint8 (h, w, bands) each, that shows the place `group`; return its own scores."""
        one = self._measure(fake, target)
        self._groups[group] += one
        return self._scores(one)

    def scores(self) -> dict[str, float]:
        """Return the scores of all images added so far; those that cannot be told (0/0) are left out."""
        return self._scores(np.sum(list(self._groups.values()), axis=0))

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Return bootstrap intervals of the scores over groups, by name; empty for fewer than two groups."""
        sums = np.array(list(self._groups.values()))
        if len(sums) < 2:
            return {}

        # Every score draws the same totals: all scores of a total are taken once, for all names.
        @cache
        def scores(total: bytes) -> dict[str, float]:
            return self._scores(np.frombuffer(total))

        def score_of(name: str) -> Callable[[NDArray[np.float64]], float]:
            return lambda total: scores(total.tobytes()).get(name, float("nan"))

        return {name: metrics.bootstrap_interval(sums, score_of(name), level=level) for name in self.scores()}

    def confusion(self) -> NDArray[np.int64]:
        """Return the confusion matrix of all images, int64 (classes, classes), rows the target's class."""
        total = np.sum(list(self._groups.values()), axis=0)
        return self._confusion(total).astype(np.int64)

    @property
    def _classes(self) -> int:
        return len(self._palette.classes) if self._palette else 0

    @property
    def _length(self) -> int:
        return 1 + len(self._means) + (self._classes**2 + 8 if self._palette else 0)

    def _measure(self, fake: NDArray[np.uint8], target: NDArray[np.uint8]) -> NDArray[np.float64]:
        images = [
            metrics.l1(fake, target),
            metrics.rmse(fake, target),
            metrics.rmse_gcgan(fake, target),
            min(PSNR_CAP, metrics.psnr(fake, target)),
            metrics.ssim(fake, target),
            metrics.pixel_accuracy(fake, target, 5),
            metrics.pixel_accuracy(fake, target, 10),
            *(judge(fake, target) for judge in self._judges.values()),
        ]
        if self._palette is None:
            return np.array([1.0, *images])
        fake_classes, target_classes = self._palette.classify(fake), self._palette.classify(target)
        confusion = metrics.confusion_matrix(fake_classes, target_classes, self._classes)
        road = self._palette.names.index(ROAD) if ROAD in self._palette.names else -1
        roads = metrics.mask_counts(fake_classes == road, target_classes == road)
        edges = metrics.mask_counts(metrics.class_edges(fake_classes), metrics.class_edges(target_classes))
        counts = [n for c in (roads, edges) for n in (c.hit_fake, c.n_fake, c.hit_target, c.n_target)]
        return np.array([1.0, *images, *confusion.ravel(), *counts])

    def _confusion(self, total: NDArray[np.float64]) -> NDArray[np.float64]:
        start = 1 + len(self._means)
        return total[start : start + self._classes**2].reshape(self._classes, self._classes)

    def _scores(self, total: NDArray[np.float64]) -> dict[str, float]:
        found = {name: total[1 + i] / total[0] for i, name in enumerate(self._means)}
        if self._palette is not None:
            confusion = self._confusion(total)
            found["mean_iou"] = metrics.mean_iou(confusion)  # type: ignore[arg-type]
            for name, iou in zip(self._palette.names, metrics.class_iou(confusion), strict=True):  # type: ignore[arg-type]
                found[f"iou_{name}"] = iou
            found["road_f1"] = metrics.Counts(*total[-8:-4]).f1
            found["edge_f1"] = metrics.Counts(*total[-4:]).f1
        return {name: float(value) for name, value in found.items() if not np.isnan(value)}
