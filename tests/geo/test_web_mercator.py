"""Which tiles a raster covers, anywhere on Earth."""

from __future__ import annotations

import sqlite3
from typing import Any

import morecantile
import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from sat2map.errors import ImageError, SettingsError
from sat2map.geo.grid import GeoGrid
from sat2map.geo.tile_pixels import reduced
from sat2map.geo.tiles import write_tiles
from sat2map.geo.web_mercator import SIDE, find_coverage

TMS = morecantile.tms.get("WebMercatorQuad")


def fiji(pixel: float = 2.1) -> GeoGrid:
    """Return 256 × 256 px on the 180th meridian, in UTM 60 south."""
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True).transform(180.0, -16.8)
    half = 128 * pixel
    return GeoGrid(CRS.from_epsg(32760), Affine(pixel, 0, x - half, 0, -pixel, y + half), 256, 256)


def degrees(left: float, width: int, top: float = 50, height: int = 100) -> GeoGrid:
    return GeoGrid(CRS.from_epsg(4326), Affine(1, 0, left, 0, -1, top), height, width)


@pytest.mark.parametrize("zoom", [0, 3, 9, 14])
def test_tiles_are_those_of_morecantile(zoom):
    grid = GeoGrid(CRS.from_epsg(32633), Affine(2.1, 0, 4e5, 0, -2.1, 5.8e6), 700, 900)
    (part,) = find_coverage(grid, "o.tif").parts
    expected = {(t.x, t.y) for t in TMS.tiles(part.west, part.south, part.east, part.north, [zoom])}
    assert {(x, y) for x in part.columns(zoom) for y in part.rows(zoom)} == expected


def test_a_raster_across_180_degrees_has_two_parts():
    coverage = find_coverage(fiji(), "fiji.tif")
    assert [list(part.columns(5)) for part in coverage.parts] == [[31], [0]]
    assert coverage.count(0) == 1
    assert coverage.count(5) == 2
    assert coverage.zooms() == (0, 16)
    assert coverage.bounds[::2] == (-180, 180)
    assert abs(abs(coverage.centre[0]) - 180) < 0.01


@pytest.mark.parametrize(("left", "width"), [(0, 360), (-180, 360), (180, 360)])
def test_the_whole_world_covers_all_columns_once(left, width):
    coverage = find_coverage(degrees(left, width, 90, 180), "w.tif")
    assert sorted(x for part in coverage.parts for x in part.columns(4)) == list(range(16))
    assert coverage.count(4) == 256


def test_longitudes_beyond_180_are_brought_back_by_a_shift():
    west, east = sorted(find_coverage(degrees(170, 30), "p.tif").parts)
    assert (west.west, west.east, west.shift) == (-180, -160, -360)
    assert (east.west, east.east, east.shift) == (170, 180, 0)


def test_a_raster_at_the_pole_ends_where_web_mercator_does():
    grid = GeoGrid(CRS.from_epsg(3413), Affine(1000, 0, -1e6, 0, -1000, 1e6), 2000, 2000)
    coverage = find_coverage(grid, "pole.tif")
    assert coverage.bounds[::2] == (-180, 180)
    assert coverage.bounds[3] == pytest.approx(85.0511, abs=1e-3)
    near = GeoGrid(CRS.from_epsg(3413), Affine(10, 0, -1e4, 0, -10, 1e4), 2000, 2000)
    with pytest.raises(ImageError, match="where web maps end"):
        find_coverage(near, "pole.tif")


def write(path, grid):
    profile = {"count": 3, "height": grid.height, "width": grid.width, "dtype": "uint8", "crs": grid.crs}
    with rasterio.open(path, "w", driver="GTiff", transform=grid.transform, **profile) as file:
        file.write(np.full((3, grid.height, grid.width), 120, np.uint8))
    return path


def tiles_of(path):
    with sqlite3.connect(path) as box:
        return {tuple(row) for row in box.execute("select zoom_level, tile_column from tiles")}


def test_each_zoom_has_tiles_on_both_sides_of_180_degrees(tmp_path):
    write_tiles(write(tmp_path / "fiji.tif", fiji(8)), tmp_path / "f.mbtiles")
    assert tiles_of(tmp_path / "f.mbtiles") == {(z, x) for z in range(15) for x in (0, (1 << z) - 1)}


def test_more_tiles_than_a_disk_holds_are_refused(tmp_path):
    raster = write(tmp_path / "w.tif", degrees(-180, 360, 90, 180))
    with pytest.raises(SettingsError, match="zoom level 20 has"):
        write_tiles(raster, tmp_path / "w.mbtiles", zooms=(0, 20))


def reduce_tiles(tiles: Any, *, blend: bool) -> Any:
    return reduced(tiles, blend=blend)


def test_four_tiles_are_reduced_to_one():
    values = np.zeros((1, SIDE, SIDE), np.uint8)
    values[0, :2, :2] = [[10, 20], [30, 41]]
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:2, :2] = [[255, 255], [0, 255]]
    blended, valid = reduce_tiles([[(values, mask), None], [None, None]], blend=True)
    assert blended[0, 0, 0] == 24  # (10 + 20 + 41) / 3, rounded
    assert valid[0, 0] == 191  # three quarters of 255
    assert valid.sum() == 191
    mask[0, 0] = 0
    first, _ = reduce_tiles([[(values, mask), None], [None, None]], blend=False)
    assert first[0, 0, 0] == 20
