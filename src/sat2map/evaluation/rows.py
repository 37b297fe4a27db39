"""Scoring one way to make maps: a map for each pair, and a row of scores of them all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sat2map.data.pair_cache import PairCache
from sat2map.evaluation.metrics.features import frechet_distance, kernel_distance, kernel_subset_size
from sat2map.evaluation.metrics.realism import sliced_wasserstein
from sat2map.evaluation.perceptual_metrics import FeatureExtractor, PerceptualMetrics
from sat2map.evaluation.result import ImageScores, Row
from sat2map.evaluation.scores import ScoreSheet
from sat2map.images.palette import Palette
from sat2map.images.pixels import resize

Pixels = NDArray[np.uint8]
Draw = Callable[[int], Pixels]  # number of an image -> its map

# Fewer images say little of how a set looks; more of them cost memory (1 MB each at 256 px) and tell no more.
SWD_IMAGES = (16, 512)


class Scored(NamedTuple):
    """What one way to make maps scored."""

    row: Row
    sheet: ScoreSheet
    images: list[ImageScores]


@dataclass(frozen=True)
class Scorer:
    """Scores ways to make maps on the same pairs, in the same way; maps are resized to the targets."""

    pairs: PairCache
    palette: Palette | None
    perceptual: PerceptualMetrics
    tick: Callable[[], None]

    def score(self, name: str, draw: Draw) -> Scored:
        """Score the maps of `draw` in all ways there are."""
        lpips, inception = self.perceptual.lpips, self.perceptual.inception
        sheet = ScoreSheet(self.palette, {"lpips": lpips.distance} if lpips else {})
        images: list[ImageScores] = []
        kept: dict[int, Pixels] = {}
        features = FeatureExtractor(inception) if inception else None

        for i, fake, of_image in self._add_all(sheet, draw):
            images.append(ImageScores(name=self.pairs.names[i], group=self.pairs.groups[i], scores=of_image))
            if i in self._kept:
                kept[i] = fake
            if features:
                features.update(fake)
        scores = {**sheet.scores(), **self._swd(kept)}
        if features and len(images) > 1:
            scores |= self._realism(features.compute())
        return Scored(Row(name=name, scores=scores, intervals=sheet.intervals()), sheet, images)

    def plain_scores(self, draw: Draw) -> dict[str, float]:
        """Score the maps of `draw` image by image alone: not how their set looks, and without networks."""
        sheet = ScoreSheet(self.palette)
        deque(self._add_all(sheet, draw), maxlen=0)
        return sheet.scores()

    def _add_all(self, sheet: ScoreSheet, draw: Draw) -> Iterator[tuple[int, Pixels, dict[str, float]]]:
        """Add the map of each pair; yield its number, its map and its scores."""
        for i, group in enumerate(self.pairs.groups):
            target = self._target(i)
            fake = resize(draw(i), *target.shape[:2])
            ignored = self.pairs.ignored(i)
            scores = sheet.add(fake, target, group, ignored)
            yield i, fake if ignored is None else np.where(ignored[..., None], target, fake), scores
            self.tick()

    def _swd(self, kept: dict[int, Pixels]) -> dict[str, float]:
        if len(kept) < SWD_IMAGES[0]:
            return {}
        return {"swd": sliced_wasserstein(list(kept.values()), [self.pairs.targets[i] for i in kept]).mean}

    def _realism(self, features: NDArray[np.float32]) -> dict[str, float]:
        found = {"fid": frechet_distance(features, self._target_features)}
        if kernel_subset_size(len(features)) >= 2:
            kid = kernel_distance(features, self._target_features)
            found |= {"kid": kid.mean, "kid_std": kid.std}
        return found

    def _target(self, i: int) -> Pixels:
        return np.ascontiguousarray(self.pairs.targets[i])

    @cached_property
    def _kept(self) -> set[int]:
        """Numbers of the images that stand for the set, spread evenly."""
        count = len(self.pairs)
        return set(np.linspace(0, count - 1, min(SWD_IMAGES[1], count)).astype(int).tolist())

    @cached_property
    def _target_features(self) -> NDArray[np.float32]:
        assert self.perceptual.inception is not None
        features = FeatureExtractor(self.perceptual.inception)
        for i in range(len(self.pairs)):
            features.update(self._target(i))
        return features.compute()
