"""The score sheet: what each map adds to the sums, and the scores of the sums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache, partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sat2map.evaluation.metrics import find_score, metrics_for
from sat2map.evaluation.metrics.classes import MEAN_IOU
from sat2map.evaluation.metrics.intervals import bootstrap_interval
from sat2map.evaluation.metrics.record import MapPair, Metric, mean_of_sums
from sat2map.images.palette import Palette

Distance = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]  # fake and target -> score


class ScoreSheet:
    """Adds up scores of generated maps against real ones, image by image.

    Every score is a function of sums, so sums of groups of images can be drawn again for an interval
    (`bootstrap_interval`).

    Args:
        palette: Colours and classes; None leaves the scores of classes out.
        distances: More scores of an image by name, whose means are scores too.
    """

    def __init__(
        self, palette: Palette | None, distances: Mapping[str, Distance] = MappingProxyType({})
    ) -> None:
        self._palette = palette
        self._metrics = metrics_for(palette)
        for name, distance in distances.items():
            measure = partial(_measure_distance, distance)
            self._metrics.append(Metric(**vars(find_score(name)), measure=measure, score=mean_of_sums))
        self._slices: dict[str, slice] = {}  # where each metric's numbers lie in a row of sums
        self._groups: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(()))

    def add(
        self,
        fake: NDArray[np.uint8],
        target: NDArray[np.uint8],
        group: str,
        ignored: NDArray[np.bool_] | None = None,
    ) -> dict[str, float]:
        """Add one image and return its own scores.

        Args:
            fake: The generated map, uint8 (h, w, bands).
            target: The real one, likewise.
            group: The place it shows.
            ignored: bool (h, w), pixels whose truth is unknown; they count in no score, except that LPIPS,
                which needs a whole image, sees the target there; None: there are none.
        """
        if ignored is not None:
            fake = np.where(ignored[..., None], target, fake)
        one = self._measure(MapPair(fake, target, self._palette, ignored))
        self._groups[group] = self._groups[group] + one
        return self._scores(one)

    def scores(self) -> dict[str, float]:
        """Return the scores of all images added so far; undefined ones (0/0) are left out."""
        return self._scores(np.sum(list(self._groups.values()), axis=0))

    def intervals(self) -> dict[str, tuple[float, float]]:
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

        return {name: bootstrap_interval(sums, score_of(name)) for name in self.scores()}

    def confusion(self) -> NDArray[np.int64]:
        """Return the confusion matrix of all images, int64 (classes, classes), rows the target's class."""
        if self._palette is None:
            return np.zeros((0, 0), np.int64)
        total = np.sum(list(self._groups.values()), axis=0)
        classes = len(self._palette.classes)
        confusion: NDArray[np.int64] = total[self._slices[MEAN_IOU.name]].astype(np.int64)
        return confusion.reshape(classes, classes)

    def _measure(self, pair: MapPair) -> NDArray[np.float64]:
        measured = [np.asarray(metric.measure(pair), np.float64) for metric in self._metrics]
        ends = np.cumsum([len(numbers) for numbers in measured]).tolist()
        for metric, start, end in zip(self._metrics, [0, *ends], ends, strict=False):
            self._slices[metric.name] = slice(start, end)
        return np.concatenate(measured)

    def _scores(self, total: NDArray[np.float64]) -> dict[str, float]:
        if not self._slices:
            return {}
        found = {metric.name: metric.score(total[self._slices[metric.name]]) for metric in self._metrics}
        return {name: float(value) for name, value in found.items() if not np.isnan(value)}


def _measure_distance(distance: Distance, pair: MapPair) -> tuple[float, float]:
    return distance(pair.fake, pair.target), 1
