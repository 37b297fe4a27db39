from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import hadamard, sqrtm

from sat2map.evaluation.metrics import features
from sat2map.evaluation.metrics.features import frechet_distance, kernel_distance, kernel_subset_size


def drawn(count: int, dimensions: int, seed: int = 0, shift: float = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, (count, dimensions)) @ rng.normal(0, 1, (dimensions, dimensions))


def by_the_root(fakes: np.ndarray, targets: np.ndarray) -> float:
    """As the paper writes it."""
    gap = fakes.mean(axis=0) - targets.mean(axis=0)
    first, second = np.cov(fakes, rowvar=False), np.cov(targets, rowvar=False)
    return float(gap @ gap + np.trace(first + second - 2 * sqrtm(first @ second).real))


@pytest.mark.parametrize(("fakes", "targets"), [(40, 40), (40, 90), (500, 30)])
def test_the_frechet_distance_is_that_of_the_root_of_the_product(fakes: int, targets: int) -> None:
    first, second = drawn(fakes, 8), drawn(targets, 8, seed=1, shift=0.5)

    assert frechet_distance(first, second) == pytest.approx(by_the_root(first, second), rel=1e-8)


def test_the_frechet_distance_of_fewer_images_than_features_is_that_of_the_eigenvalues() -> None:
    first, second = drawn(5, 12), drawn(7, 12, seed=1)
    product = np.cov(first, rowvar=False) @ np.cov(second, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(product).real.clip(0)).sum()
    gap = first.mean(axis=0) - second.mean(axis=0)
    variances = first.var(axis=0, ddof=1).sum() + second.var(axis=0, ddof=1).sum()

    # Of eigenvalues that are 0 the rounding error is the root of that of the others.
    assert frechet_distance(first, second) == pytest.approx(gap @ gap + variances - 2 * root, rel=1e-5)


def test_the_frechet_distance_of_independent_features_is_that_of_means_and_deviations() -> None:
    """Columns of a Hadamard matrix but the first have mean 0 and no correlation."""
    columns = hadamard(16)[:, 1:5] * np.sqrt(15 / 16)  # sample variance 1
    means, deviations = np.array([0.0, 1, -2, 3]), np.array([1.0, 2, 0.5, 0])
    other_means, other_deviations = np.array([1.0, 1, 1, 1]), np.array([2.0, 2, 0, 1])

    found = frechet_distance(columns * deviations + means, columns * other_deviations + other_means)

    assert found == pytest.approx(
        ((means - other_means) ** 2).sum() + ((deviations - other_deviations) ** 2).sum()
    )


def test_the_frechet_distance_of_a_set_from_itself_is_0_and_of_a_moved_set_the_squared_way() -> None:
    found = drawn(30, 6)

    assert frechet_distance(found, found) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(found, found + 0.5) == pytest.approx(6 * 0.25)


def test_the_frechet_distance_does_not_depend_on_which_set_comes_first() -> None:
    first, second = drawn(20, 30).astype(np.float32), drawn(50, 30, seed=1).astype(np.float32)

    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))


def test_the_kernel_distance_is_that_of_a_double_loop_over_the_pairs_of_each_subset() -> None:
    fakes, targets = drawn(6, 3), drawn(9, 3, seed=1)
    rng = np.random.default_rng(5)
    of_fakes, of_targets = features._subsets(6, 3, rng), features._subsets(9, 3, rng)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((sum(a * b for a, b in zip(x, y, strict=True)) / 3 + 1) ** 3)

    expected = []
    for subset in range(100):
        x, y = fakes[of_fakes[:, subset] == 1], targets[of_targets[:, subset] == 1]
        assert len(x) == len(y) == 3
        within = sum(kernel(a[i], a[j]) for a in (x, y) for i in range(3) for j in range(3) if i != j)
        across = sum(kernel(a, b) for a in x for b in y)
        expected.append(within / (3 * 2) - 2 * across / (3 * 3))

    found = kernel_distance(fakes, targets, seed=5)
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.std == pytest.approx(np.std(expected))
    assert found.subset_size == 3


def test_the_kernel_distance_of_two_points_is_worked_by_hand() -> None:
    """k(0, 0) + k(1, 1) - 2 k(0, 1) = 1 + 8 - 2."""
    found = kernel_distance(np.zeros((4, 1)), np.ones((4, 1)))

    assert found == features.KernelDistance(mean=7, std=0, subset_size=2)


def test_the_kernel_distance_is_unbiased() -> None:
    """Of sets drawn alike its mean is 0, however small they are; that of Fréchet is far from it."""
    rng = np.random.default_rng(0)
    sets = [rng.normal(0, 1, (2, 12, 4)) for _ in range(200)]
    kernels = np.array([kernel_distance(a, b).mean for a, b in sets])

    assert abs(kernels.mean()) < 3 * kernels.std() / np.sqrt(len(kernels))
    assert min(frechet_distance(a, b) for a, b in sets) > 0.1


def test_the_kernel_distance_grows_as_a_set_moves_away() -> None:
    targets = drawn(40, 6)
    distances = [kernel_distance(drawn(40, 6, shift=shift), targets).mean for shift in (0, 0.5, 1, 2)]

    assert distances == sorted(distances)


def test_the_kernel_distance_does_not_depend_on_how_many_rows_are_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fakes, targets = drawn(11, 4), drawn(11, 4, seed=1)
    whole = kernel_distance(fakes, targets)
    monkeypatch.setattr(features, "_ROWS", 3)

    assert kernel_distance(fakes, targets).mean == pytest.approx(whole.mean)


@pytest.mark.parametrize(("count", "size"), [(4, 2), (136, 68), (999, 499), (1000, 1000), (5000, 1000)])
def test_subsets_are_of_1000_images_or_half_of_fewer(count: int, size: int) -> None:
    assert kernel_subset_size(count) == size
