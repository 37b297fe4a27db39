"""Where a raster lies: control points, files beside an image, CRSs that the user gives, impossible places."""

from __future__ import annotations

import math

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.shutil import copy

from sat2map.errors import ImageError, SettingsError
from sat2map.geo.control_points import ControlPoints
from sat2map.geo.detect import is_raster
from sat2map.geo.georeference import check_grid, placed
from sat2map.geo.grid import GeoGrid
from sat2map.geo.read import open_raster
from sat2map.geo.translate_raster import translate_raster

HERE = Affine(2.1, 0, 4e5, 0, -2.1, 5.8e6)
UTM = CRS.from_epsg(32633)


def gcps(bend: float = 0.0) -> list[GroundControlPoint]:
    """Return the corners of 64 × 64 px at `HERE`, one of them moved by `bend` metres."""
    corners = [(row, col) for row in (0, 64) for col in (0, 64)]
    return [
        GroundControlPoint(row, col, 4e5 + 2.1 * col + (bend if row and col else 0), 5.8e6 - 2.1 * row)
        for row, col in corners
    ]


def write(path, **attributes):
    with rasterio.open(path, "w", driver="GTiff", count=3, height=64, width=64, dtype="uint8") as file:
        file.write(np.random.default_rng(0).integers(60, 200, (3, 64, 64), dtype="uint8"))
        for name, value in attributes.items():
            setattr(file, name, value)
    return path


def rpc() -> RPC:
    """Return an RPC of 64 × 64 px: latitude falls with the row, longitude rises with the column."""
    row, column = [0.0] * 20, [0.0] * 20
    row[2], column[1] = -1.0, 1.0
    one = [1.0] + [0.0] * 19
    return RPC(0, 500, 52.3, 0.0006, one, row, 31.5, 32, 15.0, 0.001, one, column, 31.5, 32)


def test_control_points_on_one_grid_become_that_grid(tmp_path, straight):
    source = write(tmp_path / "g.tif", gcps=(gcps(), UTM))
    result = translate_raster(straight(), source, tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.crs == UTM
        np.testing.assert_allclose(file.transform[:6], HERE[:6], atol=1e-6)
    assert any("one exact grid" in note for note in result.notes)


def test_other_control_points_are_kept_and_moved_with_a_window(tmp_path, straight):
    from sat2map.geo.raster_job import RasterOptions

    source = write(tmp_path / "g.tif", gcps=(gcps(8.0), UTM))
    translate_raster(straight(), source, tmp_path / "map.tif", RasterOptions(window=(16, 8, 32, 32)))
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.crs is None
        points, crs = file.gcps
    assert crs == UTM
    assert [(p.col, p.row, p.x, p.y) for p in points] == [
        (p.col - 16, p.row - 8, p.x, p.y) for p in gcps(8.0)
    ]


def test_rpcs_are_kept_and_moved_with_a_window(tmp_path, straight):
    from sat2map.geo.raster_job import RasterOptions

    source = write(tmp_path / "r.tif", rpcs=rpc())
    translate_raster(straight(), source, tmp_path / "map.tif", RasterOptions(window=(16, 8, 32, 32)))
    with rasterio.open(tmp_path / "map.tif") as file:
        kept = file.rpcs
    assert (kept.samp_off, kept.line_off, kept.lat_off) == (15.5, 23.5, 52.3)


def test_the_pixel_size_follows_from_control_points_and_rpcs():
    by_points = ControlPoints(tuple(gcps(0.3)), UTM, None).metres(64, 64)
    assert by_points == pytest.approx((2.1, 2.1), rel=0.01)
    east, north = ControlPoints((), None, rpc()).metres(64, 64) or (0, 0)
    geod = pyproj.Geod(ellps="WGS84")
    assert east == pytest.approx(geod.inv(15, 52.3, 15 + 0.001 / 32, 52.3)[2], rel=1e-3)
    assert north == pytest.approx(geod.inv(15, 52.3, 15, 52.3 + 0.0006 / 32)[2], rel=1e-3)


def test_scaled_control_points_stay_on_the_ground():
    points = ControlPoints(tuple(gcps()), UTM, rpc()).moved(across=2, down=4)
    fit, worst = points.fitted() or (Affine.identity(), 1)
    np.testing.assert_allclose(fit[:6], (4.2, 0, 4e5, 0, -8.4, 5.8e6), atol=1e-6)
    assert worst < 1e-6
    assert (points.rpcs.samp_off, points.rpcs.line_off) == (15.5, 7.5)


@pytest.mark.parametrize("points", [gcps()[:2], [gcps()[0], gcps()[1], gcps()[1]]], ids=["two", "on a line"])
def test_too_few_control_points_fit_nothing(points):
    assert ControlPoints(tuple(points), UTM, None).fitted() is None


def test_a_crs_without_a_transform_is_no_place(tmp_path):
    with open_raster(write(tmp_path / "c.tif", crs=UTM), bands=None, count=3) as raster:
        assert raster.grid.crs is None
        assert "names a CRS but no transform" in raster.notes[0]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "A.TIF", "a.jpeg"])
@pytest.mark.parametrize("upper", [False, True])
def test_a_world_file_makes_a_raster_of_an_image(tmp_path, name, upper):
    path = tmp_path / name
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(path)
    assert not is_raster(str(path))
    ending = {"jpg": "jgw", "png": "pgw", "tif": "tfw", "jpeg": "jgw"}[path.suffix[1:].lower()]
    world = path.with_suffix("." + (ending.upper() if upper else ending))
    world.write_text("2.1\n0\n0\n-2.1\n400001.05\n5799998.95\n")
    assert is_raster(str(path))
    with open_raster(path, bands=None, count=3) as raster:
        np.testing.assert_allclose(raster.grid.transform[:6], HERE[:6])


def test_what_gdal_opens_by_any_name_is_a_raster(tmp_path):
    source = write(tmp_path / "d.tif", crs=UTM, transform=HERE)
    for driver, name in (("GPKG", "a.gpkg"), ("ENVI", "b.dat"), ("PCIDSK", "d.pix"), ("PNG", "e.png")):
        copy(source, tmp_path / name, driver=driver)
        assert is_raster(str(tmp_path / name)), name
    (tmp_path / "noname").write_bytes(source.read_bytes())
    assert is_raster(str(tmp_path / "noname"))
    assert not is_raster(str(tmp_path / "noname"), listed=True)
    assert is_raster(f"GTIFF_DIR:1:{source}")
    (tmp_path / "read.me").write_text("nothing")
    assert not is_raster(str(tmp_path / "read.me"))


def test_a_container_lists_its_subdatasets(tmp_path):
    copy(write(tmp_path / "d.tif", crs=UTM, transform=HERE), tmp_path / "d.nc", driver="netCDF")
    with (
        pytest.raises(ImageError, match=r"Band1.*Band2.*Band3.*name one of them, such as netcdf:.*Band1"),
        open_raster(tmp_path / "d.nc", bands=None, count=3),
    ):
        pass


def test_a_raster_can_be_given_a_crs_or_a_gsd(tmp_path):
    placed = write(tmp_path / "t.tif", transform=HERE)
    with open_raster(placed, bands=None, count=3, crs="EPSG:32633") as raster:
        assert raster.grid.crs == UTM
        assert raster.grid.metres() == pytest.approx((2.1, 2.1), rel=1e-3)
    with open_raster(write(tmp_path / "n.tif"), bands=None, count=3, gsd=0.5) as raster:
        assert raster.grid.metres() == (0.5, 0.5)
        assert raster.grid.scaled(2, 2).metres() == (1.0, 1.0)


@pytest.mark.parametrize(
    ("given", "setting", "message"),
    [
        ({"crs": "EPSG:1"}, "crs", "not a CRS that PROJ knows"),
        ({"crs": "EPSG:32633"}, "gsd", "has no geotransform"),
        ({"gsd": math.nan}, "gsd", "more than 0"),
        ({"gsd": -1.0}, "gsd", "more than 0"),
    ],
)
def test_a_crs_or_gsd_that_does_not_fit_is_refused(tmp_path, given, setting, message):
    with pytest.raises(SettingsError, match=message) as caught:
        placed(GeoGrid(None, Affine.identity(), 10, 10), given.get("crs"), given.get("gsd"), "r.tif")
    assert caught.value.setting == setting


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", Affine(0, 0, 4e5, 0, 0, 5.8e6)),
        ("EPSG:32633", Affine(math.nan, 0, 4e5, 0, -2.1, 5.8e6)),
        ("EPSG:4326", Affine(2.1, 0, 4e5, 0, -2.1, 5.8e6)),
        ("EPSG:4326", Affine(1, 0, -180, 0, -1, 95)),
        ("EPSG:32633", Affine(1e-5, 0, 15, 0, -1e-5, 52)),
        ("EPSG:32633", Affine(1e9, 0, 4e5, 0, -1e9, 5.8e6)),
    ],
    ids=["singular", "nan", "metres in degrees", "beyond the pole", "degrees in metres", "huge"],
)
def test_impossible_places_are_refused(crs, transform):
    with pytest.raises(ImageError):
        check_grid(GeoGrid(CRS.from_string(crs), transform, 64, 64), "r.tif")


def test_other_planets_and_local_crss_are_not_on_earth():
    moon = CRS.from_wkt(
        'GEOGCRS["Moon 2000",DATUM["D_Moon",ELLIPSOID["Moon",1737400,0,LENGTHUNIT["metre",1]]],'
        'CS[ellipsoidal,2],AXIS["longitude",east],AXIS["latitude",north],ANGLEUNIT["degree",0.0174532925199433]]'
    )
    grid = GeoGrid(moon, Affine(1e-4, 0, 10, 0, -1e-4, 20), 64, 64)
    assert not grid.on_earth
    east, north = grid.metres() or (0, 0)
    assert north == pytest.approx(math.radians(1e-4) * 1737400, rel=1e-6)
    assert east == pytest.approx(north * math.cos(math.radians(20)), rel=1e-3)
    with pytest.raises(ImageError, match="no place on a map of the Earth"):
        grid.lonlat_box("moon.tif")
    local = GeoGrid(CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]'), Affine(0.5, 0, 0, 0, -0.5, 0), 64, 64)
    assert not local.on_earth
    assert local.metres() == (0.5, 0.5)


def fiji() -> GeoGrid:
    """Return 540 m on the 180th meridian, in UTM 60 south."""
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True).transform(180.0, -16.8)
    return GeoGrid(CRS.from_epsg(32760), Affine(2.1, 0, x - 269, 0, -2.1, y + 269), 256, 256)


def test_a_box_may_cross_180_degrees():
    west, south, east, north = fiji().lonlat_box("fiji.tif")
    assert 179.99 < west < 180
    assert -180 < east < -179.99
    assert -16.81 < south < -16.8 < north < -16.79


@pytest.mark.parametrize(
    ("left", "width", "west", "east"),
    [
        (0, 360, -180, 180),
        (-180, 360, -180, 180),
        (170, 20, 170, -170),
        (350, 20, -10, 10),
        (180, 20, -180, -160),
    ],
)
def test_longitudes_are_brought_within_180_degrees(left, width, west, east):
    grid = GeoGrid(CRS.from_epsg(4326), Affine(1, 0, left, 0, -1, 50), 10, width)
    assert grid.lonlat_box("w.tif") == (west, 40, east, 50)


def test_a_raster_around_a_pole_reaches_all_longitudes():
    grid = GeoGrid(CRS.from_epsg(3413), Affine(1000, 0, -1e6, 0, -1000, 1e6), 2000, 2000)
    west, south, east, north = grid.lonlat_box("pole.tif")
    assert (west, east, north) == (-180, 180, 90)
    assert 75 < south < 82


def test_a_box_in_another_crs_finds_its_pixels():
    grid = GeoGrid(UTM, HERE, 100, 100)
    to_degrees = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    left, top = to_degrees.transform(*(HERE @ (30, 20)))
    right, bottom = to_degrees.transform(*(HERE @ (60, 70)))
    area = grid.area_of((left, bottom, right, top), "o.tif", "EPSG:4326")
    found = (area.left, area.top, area.right, area.bottom)
    np.testing.assert_allclose(found, (30, 20, 60, 70), atol=2)


def test_a_box_across_180_degrees_finds_its_pixels():
    area = fiji().area_of((179.999, -16.801, -179.999, -16.799), "fiji.tif", "EPSG:4326")
    # 0.002 degrees are 213 m of longitude here, and 221 m of latitude; the grid is turned by 0.9 degrees.
    assert 98 < area.width < 110
    assert 104 < area.height < 112


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (4e5, 5.8e6, 4e5, 5.8e6), (math.nan, 0, 1, 1)])
def test_a_box_that_is_empty_or_elsewhere_is_refused(box):
    with pytest.raises(SettingsError, match="the box"):
        GeoGrid(UTM, HERE, 100, 100).area_of(box, "o.tif")
