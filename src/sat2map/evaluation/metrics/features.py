"""Distances between two sets of feature vectors: Fréchet's, which FID is, and a kernel's, which KID is.

Which network the features are of is the caller's business.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sat2map.evaluation.metrics.record import ScoreInfo

Features = npt.NDArray[np.floating]
_Array = npt.NDArray[np.float64]

FID = ScoreInfo(
    "fid",
    "FID",
    "Fréchet distance of the set's Inception features from real maps'",
    "How the set looks",
    digits=1,
    higher_is_better=False,
)
KID = ScoreInfo(
    "kid",
    "KID",
    "kernel distance of the same features, mean ± deviation over subsets",
    "How the set looks",
    digits=4,
    higher_is_better=False,
)
LPIPS = ScoreInfo(
    "lpips",
    "LPIPS",
    "perceptual distance by AlexNet's features, mean over images",
    "How each map looks",
    higher_is_better=False,
)

_SUBSETS = 100
_SUBSET_SIZE = 1000
_ROWS = 512  # of a kernel matrix in memory at once


def frechet_distance(fakes: Features, targets: Features) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets (0 is best).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), as in Heusel et al. 2017, "GANs Trained by a Two Time-Scale
    Update Rule Converge to a Local Nash Equilibrium". With C1 = A'A and C2 = B'B the trace of the root is the
    sum of the singular values of A B', which needs no root of a matrix and holds for covariances without full
    rank too. Biased: it shrinks as the sets grow, so it compares only between sets of one size.

    Args:
        fakes: float (n, d), n of at least 2.
        targets: float (m, d), m of at least 2.
    """
    assert fakes.shape[1] == targets.shape[1], (fakes.shape, targets.shape)
    gap = fakes.mean(axis=0, dtype=np.float64) - targets.mean(axis=0, dtype=np.float64)
    a, b = _root_of_covariance(fakes), _root_of_covariance(targets)
    common = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(gap @ gap + (a * a).sum() + (b * b).sum() - 2 * common))


class KernelDistance(NamedTuple):
    """Mean and deviation of a distance over subsets; unbiased, so equal sets may be slightly below 0."""

    mean: float
    std: float
    subset_size: int


def kernel_subset_size(count: int) -> int:
    """Images a subset when sets have `count`: 1000 as in the paper; half of a set that has fewer.

    Of the whole set all subsets would be the same, and tell nothing of how sure the distance is.
    """
    return _SUBSET_SIZE if count >= _SUBSET_SIZE else count // 2


def kernel_distance(fakes: Features, targets: Features, *, seed: int = 0) -> KernelDistance:
    """Squared maximum mean discrepancy with the kernel (x'y / d + 1)^3, unbiased, over 100 random subsets.

    Binkowski et al. 2018, "Demystifying MMD GANs", section 4. Unlike the Fréchet distance its expected value
    does not depend on how many images there are.

    Args:
        fakes: float (n, d), n of at least 4.
        targets: float (m, d), m of at least 4.
        seed: of the subsets.
    """
    assert fakes.shape[1] == targets.shape[1], (fakes.shape, targets.shape)
    size = kernel_subset_size(min(len(fakes), len(targets)))
    assert size >= 2, "a subset needs two images"
    rng = np.random.default_rng(seed)
    x, y = fakes.astype(np.float64), targets.astype(np.float64)
    in_x, in_y = (_subsets(len(features), size, rng) for features in (x, y))
    within = _sums(x, x, in_x, in_x) - _diagonal(x) @ in_x + _sums(y, y, in_y, in_y) - _diagonal(y) @ in_y
    found = within / (size * (size - 1)) - 2 * _sums(x, y, in_x, in_y) / size**2
    return KernelDistance(float(found.mean()), float(found.std()), size)


def _root_of_covariance(features: Features) -> _Array:
    """A, float64 (min(n, d), d), with A'A the sample covariance of features (n, d)."""
    centred = features - features.mean(axis=0, dtype=np.float64)
    if len(centred) > centred.shape[1]:
        centred = np.linalg.qr(centred, mode="r")
    root: _Array = centred / math.sqrt(len(features) - 1)
    return root


def _subsets(count: int, size: int, rng: np.random.Generator) -> _Array:
    """Subsets as columns of a matrix (count, subsets): 1 for what is in, 0 for what is not."""
    chosen = np.zeros((count, _SUBSETS))
    for column in range(_SUBSETS):
        chosen[rng.choice(count, size, replace=False), column] = 1
    return chosen


def _sums(x: _Array, y: _Array, in_x: _Array, in_y: _Array) -> _Array:
    """Sum of the kernel over all pairs of each subset, (subsets,), a few rows of the matrix at a time."""
    total = np.zeros(_SUBSETS)
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        total += (in_x[rows] * (_kernel(x[rows] @ y.T, x.shape[1]) @ in_y)).sum(axis=0)
    return total


def _diagonal(x: _Array) -> _Array:
    return _kernel((x * x).sum(axis=1), x.shape[1])


def _kernel(products: _Array, dimension: int) -> _Array:
    values: _Array = (products / dimension + 1) ** 3
    return values
