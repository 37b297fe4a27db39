from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter
from scipy.stats import wasserstein_distance
from skimage.transform import pyramid_reduce

from sat2map.errors import DataError
from sat2map.evaluation.metrics import realism
from sat2map.evaluation.metrics.realism import sliced_wasserstein


def drawn_maps(count: int = 6, size: int = 64, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    images = np.full((count, size, size, 3), (232, 229, 223), dtype=np.uint8)
    for image in images:
        for colour in [(254, 254, 254), (203, 223, 172), (177, 208, 254)] * 3:
            y, x = rng.integers(0, size, 2)
            h, w = rng.integers(4, size // 2, 2)
            image[y : y + h, x : x + w] = colour
    return images


def noisy(images: np.ndarray, amount: float) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal(images.shape)
    return (images + amount * noise).round().clip(0, 255).astype(np.uint8)


def test_a_set_is_at_distance_zero_from_itself() -> None:
    assert sliced_wasserstein(drawn_maps(), drawn_maps()).mean == 0


def test_levels_halve_down_to_sixteen_pixels_and_their_mean_is_given() -> None:
    result = sliced_wasserstein(drawn_maps(), drawn_maps(seed=1))

    assert list(result.levels) == [64, 32, 16]
    assert result.mean == pytest.approx(np.mean(list(result.levels.values())))


def test_odd_sizes_have_levels_too() -> None:
    images = drawn_maps(size=75)

    assert list(sliced_wasserstein(images, noisy(images, 9)).levels) == [75, 38, 19]


def test_the_distance_of_projections_equals_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    fake, target = (rng.standard_normal((50, 147)).astype(np.float32) + shift for shift in (0, 0.4))
    directions = np.random.default_rng(7).standard_normal((147, 30), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    expected = np.mean([wasserstein_distance(fake @ d, target @ d) for d in directions.T])

    found = realism._distance(fake, target, 30, np.random.default_rng(7))
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_pyramid_adds_up_to_the_image_again() -> None:
    image = drawn_maps(1, size=70)[0]
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 64
    levels = realism._laplacian_pyramid(image)
    whole = levels[-1]
    for level in levels[-2::-1]:
        spread = np.zeros(level.shape)
        spread[:, ::2, ::2] = whole
        whole = level + convolve(spread, kernel[None], mode="mirror")

    assert [level.shape[1] for level in levels] == [70, 35, 18]
    np.testing.assert_allclose(whole.transpose(1, 2, 0), image, atol=1e-3)


def test_the_coarsest_level_is_the_image_made_smaller() -> None:
    image = gaussian_filter(drawn_maps(1)[0], (4, 4, 0))
    coarsest = realism._laplacian_pyramid(image)[-1].transpose(1, 2, 0)
    smaller = pyramid_reduce(pyramid_reduce(image, channel_axis=-1), channel_axis=-1) * 255

    assert np.abs(coarsest - smaller)[2:-2, 2:-2].mean() < 4


def test_patches_are_normalised_channel_by_channel() -> None:
    patches = np.random.default_rng(0).normal([[[[3]], [[9]], [[5]]]], 4, (40, 3, 7, 7)).astype(np.float32)
    normalised = realism._normalised(patches).reshape(patches.shape)

    np.testing.assert_allclose(normalised.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_the_result_depends_on_the_seed_alone() -> None:
    fakes, targets = drawn_maps(), drawn_maps(seed=1)

    assert sliced_wasserstein(fakes, targets, seed=3) == sliced_wasserstein(fakes, targets, seed=3)
    assert sliced_wasserstein(fakes, targets, seed=3) != sliced_wasserstein(fakes, targets, seed=4)


def test_the_longer_set_is_cut_and_lists_do_as_well_as_arrays() -> None:
    fakes, targets = drawn_maps(8), drawn_maps(5, seed=1)

    assert sliced_wasserstein(list(fakes), targets) == sliced_wasserstein(fakes[:5], list(targets))


def test_constant_images_are_far_away_and_no_division_by_zero() -> None:
    targets = drawn_maps()
    constant = np.full_like(targets, (232, 228, 224))
    result = sliced_wasserstein(constant, targets)

    assert min(result.levels.values()) > sliced_wasserstein(noisy(targets, 3), targets).mean
    assert np.isfinite(result.mean)


def test_more_noise_never_scores_better() -> None:
    targets = drawn_maps()
    scores = [sliced_wasserstein(noisy(targets, amount), targets).mean for amount in (0, 2, 5, 12, 30, 70)]

    assert scores == sorted(scores)


def test_more_blur_never_scores_better() -> None:
    targets = drawn_maps()
    blurred = [gaussian_filter(targets, (0, sigma, sigma, 0)) for sigma in (0, 0.7, 1.5, 3, 6)]
    scores = [sliced_wasserstein(images, targets).levels[64] for images in blurred]

    assert scores == sorted(scores)


@pytest.mark.parametrize(
    ("fakes", "targets", "problem"),
    [
        (drawn_maps()[:0], drawn_maps(), "at least one pair"),
        (drawn_maps(size=15), drawn_maps(size=15), "16 pixels a side or more, not 15 x 15"),
        (drawn_maps(size=32), drawn_maps(size=40), "one size, not 40 x 40 and 32 x 32"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(fakes, targets, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        sliced_wasserstein(fakes, targets)
