"""Scores of one generated map against the real one, pixel by pixel.

They are the figures that papers print. On maps they say little: a constant image of the background colour
does well on all of them. Read them beside the scores of classes. Images are uint8 (h, w, 3) everywhere here.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sat2map.errors import DataError
from sat2map.evaluation.metrics.record import MapPair, Metric, mean_metric, mean_of_sums

Image = npt.NDArray[np.uint8]

PSNR_CAP = 100.0  # dB; an equal image would make every mean infinite
_SSIM_SIGMA = 1.5
_SSIM_RADIUS = 5  # a window of 11 x 11


def l1(fake: Image, target: Image) -> float:
    """Mean absolute error over pixels and channels, in grey levels 0..255 (0 is best)."""
    return float(np.abs(_difference(fake, target)).mean())


def rmse(fake: Image, target: Image) -> float:
    """Root of the squared error's mean over pixels and channels, in grey levels 0..255 (0 is best)."""
    return math.sqrt(_mean_squared_error(fake, target))


def rmse_gcgan(fake: Image, target: Image) -> float:
    """Root of the mean over pixels of the squared error summed over channels, in grey levels (0 is best).

    The convention of GcGAN's evaluation (Fu et al. 2019, arXiv:1809.05852) and of papers that compare with
    it, sqrt(3) times `rmse`. Over a data set it is averaged image by image.
    """
    return math.sqrt(3 * _mean_squared_error(fake, target))


def psnr(fake: Image, target: Image) -> float:
    """Peak signal-to-noise ratio, 20 log10(255 / rmse), in dB: higher is better, infinite if equal."""
    error = _mean_squared_error(fake, target)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def pixel_accuracy(fake: Image, target: Image, delta: float) -> float:
    """Share of pixels, 0..1, whose worst channel is off by less than `delta` (1 is best).

    max(|r - r'|, |g - g'|, |b - b'|) < delta (grey levels), the definition of GcGAN (Fu et al. 2019,
    arXiv:1809.05852), who print it for delta 5 and 10.
    """
    return float((np.abs(_difference(fake, target)).max(axis=-1) < delta).mean())


def ssim(fake: Image, target: Image, ignored: npt.NDArray[np.bool_] | None = None) -> float:
    """Structural similarity, averaged over pixels and channels: -1..1, 1 for equal images.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity": 11 x 11
    Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, L = 255, where the whole window lies in the image.

    Windows with a pixel of `ignored`, bool (h, w), do not count; without any other the result is NaN.

    Raises:
        DataError: The images are smaller than the window.
    """
    _check(fake, target)
    size = 2 * _SSIM_RADIUS + 1
    height, width = fake.shape[:2]
    if min(height, width) < size:
        raise DataError(f"SSIM needs images of {size} x {size} pixels or more, not {width} x {height}")
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    # Planes first, so that the filter runs along memory; float32 keeps five digits of the score.
    x, y = (np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32) for image in (fake, target))
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    # The formula needs the two variances only as their sum, which saves one filtering.
    squares, product = mean_x**2 + mean_y**2, mean_x * mean_y
    variances = _window_mean(x * x + y * y) - squares
    covariance = _window_mean(x * y) - product
    score = (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    if ignored is not None:
        r = _SSIM_RADIUS
        score = score[:, ~ndimage.binary_dilation(ignored, np.ones((size, size)))[r:-r, r:-r]]
    return float(score.mean(dtype=np.float64)) if score.size else math.nan


def _measure_ssim(pair: MapPair) -> tuple[float, float]:
    value = ssim(pair.fake, pair.target, pair.ignored)
    return (0.0, 0.0) if math.isnan(value) else (value, 1.0)


def _window_mean(planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Gaussian-weighted means (3, h - 10, w - 10) of planes (3, h, w), for windows that lie inside."""
    r = _SSIM_RADIUS
    mean: npt.NDArray[np.float32] = ndimage.gaussian_filter(planes, _SSIM_SIGMA, radius=r, axes=(1, 2))
    return mean[:, r:-r, r:-r]


def _mean_squared_error(fake: Image, target: Image) -> float:
    return float((_difference(fake, target) ** 2).mean())


def _difference(fake: Image, target: Image) -> npt.NDArray[np.int32]:
    """Fake less target, int32 (h, w, 3)."""
    _check(fake, target)
    return fake.astype(np.int32) - target.astype(np.int32)


def _check(fake: Image, target: Image) -> None:
    assert fake.dtype == target.dtype == np.uint8, (fake.dtype, target.dtype)
    assert fake.ndim == 3, fake.shape
    assert fake.shape == target.shape, (fake.shape, target.shape)


METRICS = (
    mean_metric("l1", "L1", "mean absolute error, grey levels of 255", l1, digits=2, higher_is_better=False),
    mean_metric(
        "rmse", "RMSE", "root mean squared error, grey levels of 255", rmse, digits=2, higher_is_better=False
    ),
    mean_metric(
        "rmse_gcgan",
        "RMSE (GcGAN)",
        "the same summed over bands, as GcGAN prints it",
        rmse_gcgan,
        digits=2,
        higher_is_better=False,
    ),
    mean_metric(
        "psnr",
        "PSNR",
        "peak signal-to-noise ratio",
        lambda fake, target: min(PSNR_CAP, psnr(fake, target)),
        unit=" dB",
        digits=2,
    ),
    Metric(
        "ssim",
        "SSIM",
        "structural similarity, -1 to 1",
        "Pixel by pixel",
        measure=_measure_ssim,
        score=mean_of_sums,
    ),
    *(
        mean_metric(
            f"accuracy_{delta}",
            f"accuracy within {delta}",
            f"share of pixels whose worst band is off by less than {delta} grey levels",
            partial(pixel_accuracy, delta=delta),
        )
        for delta in (5, 10)
    ),
)
