"""Which pixels are valid, against masks written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("rasterio", reason="the geo extra is not installed")

import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from sat2map.geo.read import open_raster
from sat2map.images.pixels import read_image

SIDE = 32
VALID = np.zeros((SIDE, SIDE), bool)
VALID[8:, :20] = True
PHOTO = np.random.default_rng(0).integers(60, 200, (3, SIDE, SIDE))
WHERE = {
    "driver": "GTiff",
    "height": SIDE,
    "width": SIDE,
    "crs": "EPSG:32633",
    "transform": Affine(1, 0, 4e5, 0, -1, 5.8e6),
    "photometric": "RGB",
}


def with_nodata(path: Path, dtype: str, nodata: float) -> None:
    values = np.where(VALID, PHOTO, nodata).astype(dtype)
    with rasterio.open(path, "w", count=3, dtype=dtype, nodata=nodata, **WHERE) as dataset:
        dataset.write(values)


def with_alpha(path: Path, dtype: str, opaque: float, nodata: float | None = None) -> None:
    values = np.where(VALID, PHOTO, 0 if nodata is None else nodata).astype(dtype)
    alpha = np.where(VALID, opaque, 0).astype(dtype)
    with rasterio.open(path, "w", count=4, dtype=dtype, alpha="YES", nodata=nodata, **WHERE) as dataset:
        dataset.write(np.concatenate([values, alpha[None]]))


def with_mask(path: Path, dtype: str, inside: bool) -> None:
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside),
        rasterio.open(path, "w", count=3, dtype=dtype, **WHERE) as dataset,
    ):
        dataset.write(PHOTO.astype(dtype))
        dataset.write_mask(VALID)
    assert path.with_name(f"{path.name}.msk").exists() is not inside


def with_nan(path: Path, dtype: str) -> None:
    with rasterio.open(path, "w", count=3, dtype=dtype, **WHERE) as dataset:
        dataset.write(np.where(VALID, PHOTO, np.nan).astype(dtype))


FILES: dict[str, Any] = {
    "nodata 0": lambda path: with_nodata(path, "uint8", 0),
    "nodata 16 bits": lambda path: with_nodata(path, "int16", -9999),
    "nodata float": lambda path: with_nodata(path, "float32", -3.4028234663852886e38),
    "nodata NaN": lambda path: with_nodata(path, "float32", float("nan")),
    "NaN without nodata": lambda path: with_nan(path, "float32"),
    "alpha 8": lambda path: with_alpha(path, "uint8", 255),
    "alpha 16": lambda path: with_alpha(path, "uint16", 65535),
    "alpha 16 of 255": lambda path: with_alpha(path, "uint16", 255),
    "alpha float of 255": lambda path: with_alpha(path, "float32", 255),
    "alpha float of 1": lambda path: with_alpha(path, "float32", 1),
    "nodata and alpha": lambda path: with_alpha(path, "float32", 255, nodata=-10000),
    "internal mask": lambda path: with_mask(path, "uint8", True),
    "internal mask float": lambda path: with_mask(path, "float32", True),
    ".msk": lambda path: with_mask(path, "uint8", False),
}


@pytest.mark.parametrize("name", FILES)
def test_the_mask_of_a_raster_is_the_one_that_was_written(tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / "x.tif")
    with open_raster(tmp_path / "x.tif", bands=None, count=3) as raster:
        mask = raster.read_mask(raster.grid.whole)
    np.testing.assert_array_equal(mask, np.where(VALID, 255, 0))


@pytest.mark.parametrize("name", [name for name in FILES if name != ".msk"])
def test_an_image_has_the_same_mask_as_alpha(tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / "x.tif")
    picture = read_image(tmp_path / "x.tif")
    np.testing.assert_array_equal(picture.alpha, np.where(VALID, 255, 0))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("factor", [2, 4])
def test_a_coarse_pixel_is_valid_where_any_part_of_it_is(tmp_path: Path, name: str, factor: int) -> None:
    FILES[name](tmp_path / "x.tif")
    with (
        open_raster(tmp_path / "x.tif", bands=None, count=3) as raster,
        raster.resampled(factor, factor) as coarse,
    ):
        mask = coarse.read_mask(coarse.grid.whole) > 0
        pixels = coarse.read(coarse.grid.whole)
    blocks = VALID.reshape(SIDE // factor, factor, SIDE // factor, factor)
    assert not (blocks.any(axis=(1, 3)) & ~mask).any()  # the filter's support reaches a pixel further
    assert mask[: 8 // factor - 2].sum() == 0
    assert pixels.shape == (3, SIDE // factor, SIDE // factor)


def test_pixels_finer_than_the_coarse_grid_are_kept_with_their_colour(tmp_path: Path) -> None:
    there = np.zeros((SIDE, SIDE), bool)
    there[16:18, 17] = True
    photo = np.where(there, 150, 7).astype(np.uint8)[None].repeat(3, axis=0)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(tmp_path / "x.tif", "w", count=3, dtype="uint8", **WHERE) as dataset,
    ):
        dataset.write(photo)
        dataset.write_mask(there)
    with open_raster(tmp_path / "x.tif", bands=None, count=3) as raster, raster.resampled(16, 16) as coarse:
        assert coarse.read_mask(coarse.grid.whole)[1, 1] > 0
        np.testing.assert_array_equal(coarse.read(coarse.grid.whole)[:, 1, 1], 150)


def test_an_alpha_band_of_measurements_neither_hides_nor_weighs_pixels(tmp_path: Path) -> None:
    infrared = np.tile(np.arange(SIDE, dtype=np.uint8) * 8, (SIDE, 1))
    with rasterio.open(tmp_path / "x.tif", "w", count=4, dtype="uint8", alpha="YES", **WHERE) as dataset:
        dataset.write(np.concatenate([PHOTO, infrared[None]]).astype(np.uint8))
        assert dataset.colorinterp[3] == ColorInterp.alpha
    with rasterio.open(tmp_path / "plain.tif", "w", count=3, dtype="uint8", **WHERE) as dataset:
        dataset.write(PHOTO.astype(np.uint8))

    def coarse(name: str) -> NDArray[np.uint8]:
        with open_raster(tmp_path / name, bands=None, count=3) as raster, raster.resampled(2, 2) as small:
            assert raster.mask_kind == "none"
            return small.read(small.grid.whole)

    np.testing.assert_array_equal(coarse("x.tif"), coarse("plain.tif"))
