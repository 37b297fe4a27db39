from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from sat2map.evaluation.metrics.classes import (
    Counts,
    class_edges,
    class_iou,
    confusion_matrix,
    mask_counts,
    mean_iou,
)
from sat2map.images.palette import Palette

# Worked by hand: rows are the target's classes. IoU: 3/5, 1/3, 0/2, and class 3 does not occur.
FAKE = np.array([[0, 0, 0, 1], [0, 1, 2, 0]], np.uint8)
TARGET = np.array([[0, 0, 0, 0], [1, 1, 1, 2]], np.uint8)
CONFUSION = [[3, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def random_classes(seed: int, shape: tuple[int, int] = (20, 24), n: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, n, shape, dtype=np.uint8)


def spoilt(classes: np.ndarray, share: float, n: int = 4) -> np.ndarray:
    """Class maps of which a share of pixels is wrong; a larger share spoils the same pixels and more."""
    hit = np.random.default_rng(5).random(classes.shape) < share
    return np.where(hit, (classes + 1) % n, classes).astype(np.uint8)


def test_rows_of_the_confusion_matrix_are_the_target() -> None:
    confusion = confusion_matrix(FAKE, TARGET, 4)

    assert confusion.tolist() == CONFUSION
    assert confusion.dtype == np.int64


def test_many_classes_do_not_overflow() -> None:
    classes = np.array([[255, 254]], np.uint8)

    assert confusion_matrix(classes, classes, 256)[255, 255] == 1


def test_a_class_number_out_of_range_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="out of range"):
        confusion_matrix(FAKE, np.full_like(FAKE, 4), 4)


def test_iou_is_intersection_over_union_and_nan_where_nothing_is() -> None:
    np.testing.assert_allclose(class_iou(np.array(CONFUSION)), [3 / 6, 1 / 4, 0, np.nan])


def test_iou_equals_that_of_pixel_sets() -> None:
    fake, target = random_classes(1), random_classes(2)
    expected = [((fake == c) & (target == c)).sum() / ((fake == c) | (target == c)).sum() for c in range(4)]

    np.testing.assert_allclose(class_iou(confusion_matrix(fake, target, 4)), expected)


def test_the_mean_iou_leaves_absent_classes_out() -> None:
    assert mean_iou(np.array(CONFUSION)) == pytest.approx((3 / 6 + 1 / 4 + 0) / 3)
    assert np.isnan(mean_iou(np.zeros((3, 3), np.int64)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.floats(0, 0.5), st.floats(0, 0.4))
def test_more_wrong_pixels_never_raise_the_mean_iou(seed: int, share: float, more: float) -> None:
    target = random_classes(seed)
    scores = [mean_iou(confusion_matrix(spoilt(target, s), target, 4)) for s in (share, share + more)]

    assert scores[0] >= scores[1]


@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 2, 3])
@pytest.mark.parametrize("density", [0.002, 0.05, 0.6])
def test_mask_counts_equal_those_of_a_distance_transform(tolerance: float, density: float) -> None:
    rng = np.random.default_rng(3)
    fake, target = rng.random((2, 37, 41)) < density
    counts = mask_counts(fake, target, tolerance)

    assert counts.n_fake == fake.sum() > 0
    assert counts.n_target == target.sum() > 0
    assert counts.hit_fake == (distance_transform_edt(~target)[fake] <= tolerance).sum()
    assert counts.hit_target == (distance_transform_edt(~fake)[target] <= tolerance).sum()


def test_precision_recall_and_f1_follow_from_the_counts() -> None:
    counts = Counts(hit_fake=30, n_fake=40, hit_target=60, n_target=100)

    assert (counts.precision, counts.recall) == (0.75, 0.6)
    assert counts.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)


def test_counts_add_up_over_a_data_set() -> None:
    assert sum([Counts(1, 2, 3, 4), Counts(10, 20, 30, 40)], Counts()) == Counts(11, 22, 33, 44)


def test_empty_masks_have_no_score_and_one_empty_mask_has_none_to_speak_of() -> None:
    empty, full = np.zeros((5, 5), np.bool_), np.ones((5, 5), np.bool_)

    assert np.isnan(mask_counts(empty, empty).f1)
    assert mask_counts(empty, full).f1 == mask_counts(full, empty).f1 == 0
    assert np.isnan(mask_counts(empty, full).precision)
    assert np.isnan(mask_counts(full, empty).recall)


def test_a_line_two_pixels_off_is_a_hit_and_three_pixels_off_is_not() -> None:
    target = np.zeros((20, 20), np.bool_)
    target[8] = True

    assert [mask_counts(np.roll(target, shift, axis=0), target).f1 for shift in range(5)] == [1, 1, 1, 0, 0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.integers(0, 5), st.integers(1, 5))
def test_roads_shifted_further_never_score_better(seed: int, shift: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    target = np.zeros((64, 64), np.bool_)
    target[:, rng.integers(12, 52)] = True

    near, far = (mask_counts(np.roll(target, s, axis=1), target) for s in (shift, shift + more))
    assert near.f1 >= far.f1


def test_edges_lie_left_of_and_above_the_next_class() -> None:
    classes = np.array([[1, 1, 2], [1, 1, 2], [3, 3, 3]], np.uint8)

    assert class_edges(classes).astype(int).tolist() == [[0, 1, 0], [1, 1, 1], [0, 0, 0]]


def test_a_constant_map_draws_no_road_and_one_class() -> None:
    palette = Palette.load("maps")
    target = palette.colourise(np.repeat(np.arange(6, dtype=np.uint8), 12).reshape(6, 12))
    fake_classes = palette.classify(np.full_like(target, (232, 228, 224)))
    target_classes = palette.classify(target)
    road = palette.index("road")

    assert mask_counts(fake_classes == road, target_classes == road).f1 == 0
    assert mean_iou(confusion_matrix(fake_classes, target_classes, 6)) == pytest.approx(1 / 36)
