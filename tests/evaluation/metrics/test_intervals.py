from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sat2map.evaluation.metrics.classes import mean_iou
from sat2map.evaluation.metrics.intervals import bootstrap_interval


def mean(total: np.ndarray) -> float:
    return total[0] / total[1]


def sums_of(scores: np.ndarray) -> np.ndarray:
    return np.stack([scores, np.ones_like(scores)], axis=1)


def test_the_interval_of_a_mean_equals_that_of_scipy() -> None:
    scores = np.random.default_rng(0).normal(20, 3, 60)
    expected = stats.bootstrap((scores,), np.mean, method="percentile", n_resamples=9999, rng=1)
    low, high = bootstrap_interval(sums_of(scores), mean, draws=9999)

    assert low == pytest.approx(expected.confidence_interval.low, abs=0.05)
    assert high == pytest.approx(expected.confidence_interval.high, abs=0.05)


def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_interval(sums_of(rng.normal(5, 1, 40)), mean, level=0.9, draws=200, seed=seed)
        covered += low <= 5 <= high

    # 0.9, give or take three standard deviations of 200 trials and the slight narrowness of a bootstrap.
    assert 0.8 <= covered / 200 <= 0.97


def test_the_interval_of_a_mean_iou_equals_a_plain_loop() -> None:
    confusions = np.random.default_rng(3).integers(0, 50, (12, 3, 3)).astype(np.int64)
    rng = np.random.default_rng(4)
    plain = [mean_iou(confusions[rng.integers(0, 12, 12)].sum(axis=0)) for _ in range(4000)]
    found = bootstrap_interval(
        confusions.reshape(12, 9), lambda s: mean_iou(s.reshape(3, 3).astype(int)), draws=4000
    )

    assert found == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.005)


def test_large_groups_weigh_more() -> None:
    sums = np.array([[900.0, 100.0], [1.0, 1.0]])
    low, high = bootstrap_interval(sums, mean)

    assert (low, high) == (1, 9)


def test_a_higher_level_gives_a_wider_interval() -> None:
    sums = sums_of(np.random.default_rng(0).normal(0, 1, 30))
    narrow, wide = (bootstrap_interval(sums, mean, level=level) for level in (0.5, 0.99))

    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_the_interval_depends_on_the_seed_alone() -> None:
    sums = sums_of(np.random.default_rng(0).normal(0, 1, 30))

    assert bootstrap_interval(sums, mean, seed=1) == bootstrap_interval(sums, mean, seed=1)
    assert bootstrap_interval(sums, mean, seed=1) != bootstrap_interval(sums, mean, seed=2)


def test_draws_without_a_score_do_not_count() -> None:
    sums = np.array([[4.0, 1.0], [0.0, 0.0]])

    assert bootstrap_interval(sums, lambda s: s[0] / s[1] if s[1] else float("nan")) == (4, 4)
    assert np.isnan(bootstrap_interval(sums, lambda s: float("nan"))).all()


def test_a_single_group_has_no_interval() -> None:
    assert np.isnan(bootstrap_interval(np.array([[3.0, 1.0]]), mean)).all()
