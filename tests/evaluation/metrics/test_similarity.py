from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from sat2map.errors import DataError
from sat2map.evaluation.metrics import similarity as metrics


def drawn_map(seed: int = 0, size: int = 48) -> np.ndarray:
    """Rectangles of map colours."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size + 8, 3), (232, 229, 223), dtype=np.uint8)
    for colour in [(254, 254, 254), (203, 223, 172), (177, 208, 254), (247, 158, 39)] * 3:
        y, x, h, w = rng.integers(0, size, 2).tolist() + rng.integers(3, size // 2, 2).tolist()
        image[y : y + h, x : x + w] = colour
    return image


def noisy(image: np.ndarray, amount: float, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(image.shape)
    return (image + amount * noise).round().clip(0, 255).astype(np.uint8)


PAIRS = [
    pytest.param(noisy(drawn_map(), 12), drawn_map(), id="noise"),
    pytest.param(drawn_map(3), drawn_map(4), id="another map"),
    pytest.param(np.full_like(drawn_map(), 230), drawn_map(), id="constant"),
    pytest.param(np.zeros_like(drawn_map()), np.full_like(drawn_map(), 255), id="black and white"),
]


@pytest.mark.parametrize(("fake", "target"), PAIRS)
def test_ssim_equals_that_of_scikit_image(fake: np.ndarray, target: np.ndarray) -> None:
    expected = structural_similarity(
        target, fake, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=-1
    )

    assert metrics.ssim(fake, target) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("fake", "target"), PAIRS)
def test_psnr_and_rmse_equal_those_of_scikit_image(fake: np.ndarray, target: np.ndarray) -> None:
    assert metrics.psnr(fake, target) == pytest.approx(peak_signal_noise_ratio(target, fake), abs=1e-9)
    assert metrics.rmse(fake, target) ** 2 == pytest.approx(mean_squared_error(target, fake))


@pytest.mark.parametrize(("fake", "target"), PAIRS)
def test_scores_of_errors_equal_plain_loops(fake: np.ndarray, target: np.ndarray) -> None:
    pairs = list(zip(fake.reshape(-1, 3).tolist(), target.reshape(-1, 3).tolist(), strict=True))
    summed = [sum((a - b) ** 2 for a, b in zip(f, t, strict=True)) for f, t in pairs]
    worst = [max(abs(a - b) for a, b in zip(f, t, strict=True)) for f, t in pairs]
    absolute = [abs(a - b) for f, t in pairs for a, b in zip(f, t, strict=True)]

    assert metrics.l1(fake, target) == pytest.approx(sum(absolute) / len(absolute))
    assert metrics.rmse_gcgan(fake, target) == pytest.approx(math.sqrt(sum(summed) / len(pairs)))
    assert metrics.pixel_accuracy(fake, target, 5) == pytest.approx(sum(w < 5 for w in worst) / len(pairs))


def test_the_two_conventions_of_rmse_differ_by_the_root_of_three() -> None:
    fake, target = np.full((4, 4, 3), 10, np.uint8), np.full((4, 4, 3), 16, np.uint8)

    assert metrics.rmse(fake, target) == 6
    assert metrics.rmse_gcgan(fake, target) == pytest.approx(6 * math.sqrt(3))


def test_a_pixel_off_by_delta_in_one_channel_is_wrong() -> None:
    target = np.full((1, 4, 3), 100, np.uint8)
    fake = target + np.array([[[0, 0, 0], [4, 4, 4], [0, 5, 0], [0, 0, 90]]], np.uint8)

    assert metrics.pixel_accuracy(fake, target, 5) == 0.5


def test_equal_images_have_the_best_scores() -> None:
    image = drawn_map()

    assert metrics.l1(image, image) == metrics.rmse(image, image) == metrics.rmse_gcgan(image, image) == 0
    assert metrics.psnr(image, image) == math.inf
    assert metrics.ssim(image, image) == pytest.approx(1, abs=1e-6)
    assert metrics.pixel_accuracy(image, image, 1) == 1


def test_ssim_of_an_image_smaller_than_its_window_is_refused() -> None:
    with pytest.raises(DataError, match="11 x 11 pixels or more, not 30 x 10"):
        metrics.ssim(np.zeros((10, 30, 3), np.uint8), np.zeros((10, 30, 3), np.uint8))


def test_ssim_of_the_smallest_image_is_of_one_window() -> None:
    fake, target = noisy(drawn_map(), 20)[:11, :11], drawn_map()[:11, :11]
    expected = structural_similarity(
        target, fake, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=-1
    )

    assert metrics.ssim(fake, target) == pytest.approx(expected, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(2, 30), st.floats(1.3, 4))
def test_more_noise_never_scores_better(seed: int, amount: float, factor: float) -> None:
    target = drawn_map(seed)
    less, more = noisy(target, amount, seed), noisy(target, amount * factor, seed)

    for error in (metrics.l1, metrics.rmse, metrics.rmse_gcgan):
        assert error(less, target) <= error(more, target)
    for likeness in (metrics.psnr, metrics.ssim):
        assert likeness(less, target) >= likeness(more, target)
    assert metrics.pixel_accuracy(less, target, 5) >= metrics.pixel_accuracy(more, target, 5)
