"""Scores on the ground against cases worked by hand, other code of the package, and shapely."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from rasterio.features import rasterize

from sat2map.evaluation.metrics.classes import mask_counts
from sat2map.evaluation.metrics.ground import STRIP, buffer_counts, label_objects, match_objects


@pytest.mark.parametrize(("buffer", "hits"), [(3.0, 40), (2.9, 0)])
def test_a_road_two_pixels_of_one_and_a_half_metres_aside_is_found_within_three_metres(
    buffer: float, hits: int
) -> None:
    fake, target = np.zeros((2, 40, 40), bool)
    fake[:, 10] = target[:, 12] = True
    counts = buffer_counts(fake, target, buffer, (0.5, 1.5))
    assert (counts.hit_fake, counts.n_fake, counts.hit_target, counts.n_target) == (hits, 40, hits, 40)


def test_a_buffer_in_metres_is_a_tolerance_in_pixels_across_strips_too() -> None:
    random = np.random.default_rng(1)
    fake, target = random.random((2, STRIP + 300, 30)) < 0.01
    assert buffer_counts(fake, target, 1.5, (0.5, 0.5)) == mask_counts(fake, target, tolerance=3)


def test_objects_match_when_more_than_half_of_both_together_is_common() -> None:
    fake, target = np.zeros((2, 30, 60), bool)
    target[2:6, 2:10] = fake[2:6, 2:10] = True  # the same
    target[10:14, 2:8] = fake[10:14, 4:10] = True  # 16 of 32 px: exactly half
    target[20:24, 2:8] = fake[20:24, 3:9] = True  # 20 of 28 px
    target[20, 40] = True  # a speck in the truth
    fake[2, 40] = True  # and one in the map
    counted = match_objects(label_objects(fake), label_objects(target), min_pixels=4)
    assert counted == (2, 3, 3)
    assert counted.f1 == pytest.approx(2 / 3)
    assert match_objects(label_objects(fake), label_objects(target)) == (2, 4, 4)


def test_objects_match_as_shapely_says_of_random_rectangles() -> None:
    random = np.random.default_rng(5)
    true = [shapely.box(x, y, x + 9, y + 7) for x in range(5, 180, 20) for y in range(5, 100, 15)]
    drawn = [shapely.box(*(np.array(box.bounds) + random.integers(-3, 3, 4))) for box in true]
    fakes, targets = (
        rasterize(zip(boxes, range(1, len(boxes) + 1), strict=True), out_shape=(120, 200), dtype="int32")
        for boxes in (drawn, true)
    )
    pairs = [(a, b) for a in drawn for b in true if a.intersection(b).area > 0.5 * a.union(b).area]
    assert 5 < len(pairs) < len(true)
    assert match_objects(fakes, targets) == (len(pairs), len(drawn), len(true))
