"""Premultiplied alpha, and numbers that stand for other values: read by their meaning, or refused."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from sat2map.errors import ImageError
from sat2map.geo.gdal import gdal_env
from sat2map.geo.read import open_raster


def read_all(path, **options):
    with gdal_env(), open_raster(path, bands=None, count=3, **options) as raster:
        return raster.read(raster.grid.whole), raster.read_mask(raster.grid.whole), raster.notes


def test_premultiplied_colours_are_read_as_pillow_reads_them(tmp_path):
    rng = np.random.default_rng(0)
    alpha = rng.choice(np.array([0, 64, 128, 255], np.uint8), (40, 50), p=[0.4, 0.05, 0.05, 0.5])
    colours = rng.integers(0, 256, (40, 50, 3)) * alpha[..., None] // 255
    stored = np.dstack([colours, alpha]).astype(np.uint8)
    path = tmp_path / "pre.tif"
    extra = [(34264, "d", 16, (1, 0, 0, 4e5, 0, -1, 0, 5e6, 0, 0, 0, 0, 0, 0, 0, 1), True)]
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"], extratags=extra)
    with Image.open(path) as image:
        expected = np.moveaxis(np.asarray(image), -1, 0)
    found, mask, _ = read_all(path)
    there = alpha > 0
    np.testing.assert_array_equal(mask, alpha)
    assert np.abs(found[:, there].astype(int) - expected[:3, there]).max() <= 1  # rounded, where Pillow cuts
    assert np.abs(found[:, there].astype(int) - stored[there, :3].T).max() > 100  # it does matter


def test_alpha_that_is_not_multiplied_stays_as_it_is(tmp_path, write):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 50), dtype=np.uint8)
    pixels[3] = np.where(pixels[3] > 20, 255, 0)
    path = write(pixels, photometric="rgb", alpha="unspecified")
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [*file.colorinterp[:3], rasterio.enums.ColorInterp.alpha]
    np.testing.assert_array_equal(read_all(path)[0], pixels[:3])


def scaled(write, dtype, scales, offsets):
    pixels = np.random.default_rng(1).integers(0, 200, (3, 60, 60)).astype(dtype)
    path = write(pixels * (1 if dtype == "uint8" else 50))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = scales, offsets
    return path


def test_measured_limits_undo_scales_and_offsets(write):
    path = scaled(write, "uint16", (1e-4, 2e-4, 3e-4), (-0.1, 0, 5))
    with rasterio.open(path) as file:
        values = file.read() * np.array(file.scales)[:, None, None] + np.array(file.offsets)[:, None, None]
    meant = write(values.astype(np.float32), "float.tif")
    assert np.abs(read_all(path)[0].astype(int) - read_all(meant)[0]).max() <= 1


def test_equal_scales_of_8_bits_change_nothing(write):
    path = scaled(write, "uint8", (0.5,) * 3, (1,) * 3)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(read_all(path)[0], file.read())


@pytest.mark.parametrize(
    ("dtype", "scales", "options"),
    [
        ("uint8", (0.1, 0.2, 0.3), {}),
        ("uint16", (1.0, 1.0, -1.0), {}),
        ("uint16", (0.1, 0.2, 0.3), {"scale": (0.0, 3000.0)}),
    ],
)
def test_numbers_whose_meaning_changes_the_colours_are_refused(write, dtype, scales, options):
    path = scaled(write, dtype, scales, (0,) * 3)
    with pytest.raises(ImageError, match=r"stand for other values .*-unscale"):
        read_all(path, **options)


def test_given_limits_count_in_stored_numbers_and_say_so(write):
    path = scaled(write, "uint16", (0.1,) * 3, (0,) * 3)
    *_, notes = read_all(path, scale=(0.0, 3000.0))
    assert any("the limits count in the stored numbers" in note for note in notes)
