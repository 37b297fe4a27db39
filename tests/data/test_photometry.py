"""Tests of sat2map.data.photometry, against Pillow's JPEG and scipy's Gaussian filter."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

from sat2map.data.photometry import PhotoJitter, _degrade, _relight, blur, compress_jpeg, jitter_photos
from sat2map.synthetic.towns import draw_town

NOTHING = PhotoJitter().scaled(0)


def photo(height: int = 64, width: int = 72) -> torch.Tensor:
    """Return a drawn town from above, float (1, 3, h, w) in [-1, 1]."""
    pixels = draw_town(3, size=80, gsd=2.1).source[:height, :width]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_loses_what_pillows_loses(quality: int, mode: str) -> None:
    source = photo() if mode == "RGB" else photo()[:, 1:2]
    pixels = ((source[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=quality, subsampling=0)
    expected = np.asarray(Image.open(file)).astype(float).reshape(pixels.shape)
    found = (compress_jpeg(source, torch.tensor([float(quality)]))[0] + 1).permute(1, 2, 0).numpy() * 127.5
    lost = np.abs(expected - pixels).mean()
    # Pillow rounds to whole levels three times on its way.
    assert np.abs(found.clip(0, 255) - expected).mean() < max(0.9, 0.12 * lost)


def test_jpeg_of_sides_that_are_no_multiples_of_8_fills_up_the_last_blocks() -> None:
    source = photo(61, 67)
    compressed = compress_jpeg(source, torch.tensor([60.0]))
    assert compressed.shape == source.shape
    whole = compress_jpeg(source[:, :, :56, :64], torch.tensor([60.0]))
    torch.testing.assert_close(compressed[:, :, :56, :64], whole)


def test_light_and_colours_change_step_by_step() -> None:
    source = torch.cat([photo(), -photo()])
    relit = torch.empty_like(source)
    random = np.random.default_rng(0)
    matrix = np.eye(3) + random.uniform(-0.1, 0.1, (2, 3, 3))
    bounds = ((0.8, 2.0, 1), (0.8, 1.2, 3), (-0.1, 0.1, 3), (0.7, 1.4, 1), (0.4, 0.8, 1), (0.0, 0.3, 1))
    light = [random.uniform(low, high, (2, bands, 1, 1)) for low, high, bands in bounds]
    exposure, gain, offset, exponent, airlight, haze = light
    mixed = np.einsum("nij,njhw->nihw", matrix, source.numpy())
    lit = ((mixed + 1) * exposure - 1).clip(-1, 1)
    contrasted = (lit * gain + offset).clip(-1, 1)
    curved = ((contrasted + 1) / 2).clip(1e-4) ** exponent * 2 - 1
    expected = curved + haze * (airlight - curved)
    _relight(source, relit, *(torch.from_numpy(values).float() for values in (matrix, *light)))
    np.testing.assert_allclose(relit.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 1.2, 2.0])
def test_blur_is_scipys_gaussian_filter(sigma: float) -> None:
    source = photo()
    expected = gaussian_filter(
        source.numpy().astype(np.float64),
        (0, 0, sigma, sigma),
        mode="mirror",
        radius=(0, 0, *[round(3 * sigma)] * 2),
    )
    np.testing.assert_allclose(blur(source, sigma).numpy(), expected, atol=1e-5)


def test_a_strength_of_zero_changes_nothing() -> None:
    source = photo().repeat(4, 1, 1, 1)
    torch.testing.assert_close(jitter_photos(source, NOTHING, generator()), source, atol=2e-4, rtol=0)


@pytest.mark.parametrize("bands", [1, 3, 4, 10])
def test_photos_of_any_bands_are_changed_within_their_range(bands: int) -> None:
    source = torch.rand(4, bands, 32, 32) * 2 - 1
    changed = jitter_photos(source, PhotoJitter(), generator())
    assert changed.shape == source.shape
    assert float(changed.abs().max()) <= 1
    assert all(not torch.equal(a, b) for a, b in zip(changed, source, strict=True))


def test_the_same_seed_changes_photos_alike_and_rows_as_in_the_whole() -> None:
    source = photo().repeat(5, 1, 1, 1)
    whole = jitter_photos(source, PhotoJitter(), generator(1))
    assert torch.equal(jitter_photos(source, PhotoJitter(), generator(1)), whole)
    rows = slice(2, 4)
    part = jitter_photos(source[rows], PhotoJitter(), generator(1), batch=5, rows=rows)
    torch.testing.assert_close(part, whole[rows], atol=1e-6, rtol=0)


def test_a_grey_pixel_stays_grey_in_another_season() -> None:
    grey = (torch.rand(6, 1, 8, 8) - 0.5).repeat(1, 3, 1, 1)
    season = PhotoJitter(
        exposure=(0, 0), gain=0, offset=0, gamma=0, season=0.3, haze=0, noise=0, degraded=0, jpeg=0
    )
    torch.testing.assert_close(jitter_photos(grey, season, generator()), grey, atol=1e-4, rtol=0)


def test_noise_has_the_deviation_that_was_drawn() -> None:
    noisy = PhotoJitter(
        exposure=(0, 0), gain=0, offset=0, gamma=0, season=0, haze=0, noise=0.06, degraded=0, jpeg=0
    )
    changed = jitter_photos(torch.zeros(64, 3, 32, 32), noisy, generator())
    deviations = changed.flatten(1).std(dim=1)
    assert float(deviations.max()) == pytest.approx(0.06, rel=0.1)
    assert float((deviations < 1e-3).float().mean()) == pytest.approx(0.5, abs=0.2)  # half have none


def test_a_degraded_photo_has_lost_its_finest_detail() -> None:
    checks = ((torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1).expand(8, 3, 64, 64)
    coarse = PhotoJitter(
        exposure=(0, 0), gain=0, offset=0, gamma=0, season=0, haze=0, noise=0, degraded=1, jpeg=0
    )
    changed = jitter_photos(checks, coarse, generator())
    assert float(changed.flatten(1).std(dim=1).min()) < 0.3 < float(checks.std())


def test_sharpening_is_pillows_unsharp_mask() -> None:
    levels = np.asarray(Image.effect_noise((64, 64), 40).filter(ImageFilter.GaussianBlur(2)))
    changed = torch.from_numpy(levels / 127.5 - 1).float().repeat(1, 3, 1, 1)
    none = PhotoJitter(
        exposure=(0, 0), gain=0, offset=0, gamma=0, season=0, haze=0, noise=0, degraded=1, jpeg=0
    )
    _degrade(changed, none, torch.tensor([True]), torch.tensor([[0.9, 1.0]]))
    expected = Image.fromarray(levels).filter(ImageFilter.UnsharpMask(radius=1, percent=150, threshold=0))
    levels_now = (changed[0, 0].clamp(-1, 1).numpy() + 1) * 127.5
    difference = np.abs(levels_now - np.asarray(expected))[4:-4, 4:-4]
    assert difference.max() < 5  # Pillow's Gaussian is made of box blurs
