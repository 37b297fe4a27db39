"""Bootstrap intervals of scores, over groups of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt


def bootstrap_interval(
    sums: npt.NDArray[np.integer] | npt.NDArray[np.floating],
    statistic: Callable[[npt.NDArray[np.float64]], float],
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a score (Efron and Tibshirani 1993, chapter 13), over groups.

    Groups are drawn with replacement, their sums are added up, and the score is taken of the total.
    Overlapping tiles share ground, so they belong to one group: drawing single tiles would make the interval
    too narrow.

    A mean of per-image scores has sums (sum of scores, number of images) and `lambda s: s[0] / s[1]`; a mean
    IoU over n classes has flattened confusion matrices and `lambda s: mean_iou(s.reshape(n, n))`.

    Args:
        sums: what adds up, finite int or float (groups, k): one row a group.
        statistic: the score of one total, float64 (k,); draws whose score is NaN do not count.
        level: share of the draws inside the interval, 0..1.
        draws: how often to draw.
        seed: of the draws; the result depends on nothing else.

    Returns:
        The low and the high end; both NaN for fewer than two groups, which say nothing of how groups differ.
    """
    assert sums.ndim == 2, sums.shape
    assert 0 < level < 1, level
    groups = len(sums)
    if groups < 2:
        return float("nan"), float("nan")
    # How often each group is drawn is multinomial, and one matrix product adds the sums up.
    times = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=draws)
    scores = np.array([statistic(total) for total in times @ sums.astype(np.float64)])
    scores = scores[~np.isnan(scores)]
    if scores.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
