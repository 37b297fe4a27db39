"""Rasters from services of tiles and maps, and over http: the right pixels, or one sentence."""

from __future__ import annotations

import io

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from sat2map.errors import ImageError, SettingsError
from sat2map.geo import map_services, tile_probe
from sat2map.geo.find_source import find_source
from sat2map.geo.gdal import gdal_env
from sat2map.geo.raster import RETRY_AFTER
from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.read import open_raster
from sat2map.geo.sources import Place
from sat2map.geo.translate_raster import EmptyRasterError, translate_raster
from sat2map.inference.tiling import Area

from .conftest import TILES_BOX, ZOOM

TEMPLATE = "/{z}/{x}/{y}.png"
OPTIONS = RasterOptions(bbox=TILES_BOX, zoom=ZOOM, resolution="source")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("sat2map.geo.raster.RETRY_AFTER", (0.0,) * len(RETRY_AFTER))


def pixels_of(text, place, part=None):
    with gdal_env(), open_raster(find_source(text, place), bands=None, count=3) as raster:
        area = part or raster.grid.whole
        return raster.read(area), raster.read_mask(area), raster.grid


def test_tiles_are_the_raster_that_they_were_cut_from(tile_service, tile_ground):
    read, mask, grid = pixels_of(tile_service.url + TEMPLATE, Place(TILES_BOX, zoom=ZOOM))
    np.testing.assert_array_equal(read, tile_ground[0])
    assert (mask == 255).all()
    assert grid.crs.to_epsg() == 3857
    assert grid.transform.almost_equals(tile_ground[1], precision=1e-6)


def test_a_map_of_tiles_is_the_map_of_the_raster(tile_service, tmp_path, random_translator, read):
    translator = random_translator()
    translate_raster(translator, tile_service.url + TEMPLATE, tmp_path / "tiles.tif", OPTIONS)
    source = tile_service.folder / "ortho.tif"
    translate_raster(translator, source, tmp_path / "raster.tif", RasterOptions(resolution="source"))
    with rasterio.open(tmp_path / "tiles.tif") as tiles, rasterio.open(tmp_path / "raster.tif") as raster:
        np.testing.assert_array_equal(tiles.read((1, 2, 3)), raster.read())
        assert tiles.bounds == pytest.approx(raster.bounds)


def test_a_wms_gives_the_same_pixels_as_its_tiles(tile_service, tile_ground):
    address = f"{tile_service.url}/wms?service=WMS&layers=ortho&key=secret"
    read, _, grid = pixels_of(address, Place(TILES_BOX, zoom=ZOOM))
    np.testing.assert_array_equal(read, tile_ground[0])
    assert grid.transform.almost_equals(tile_ground[1], precision=1e-6)
    asked = [request for request in tile_service.requests if request.startswith("/wms")]
    assert len(asked) == 5  # one to try, and four
    assert all("key=secret" in request for request in asked)


def test_tiles_are_asked_for_once(tile_service):
    place = Place(TILES_BOX, zoom=ZOOM)
    pixels_of(tile_service.url + TEMPLATE, place)
    first = tile_service.requests
    pixels_of(tile_service.url + TEMPLATE, place)
    assert len(first) == 1 + 4
    assert len(tile_service.requests) == len(first) + 1  # the one that is tried before the work


@pytest.mark.parametrize("kind", ["jpg", "grey", "palette", "rgba"])
def test_tiles_of_every_kind_are_read_as_pillow_reads_them(tile_service, kind):
    folder = tile_service.folder / "other" / str(ZOOM)
    suffix = "jpg" if kind == "jpg" else "png"
    for path in (tile_service.folder / str(ZOOM)).glob("*/*.png"):
        other = folder / path.parent.name / f"{path.stem}.{suffix}"
        other.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as tile:
            mode = {"jpg": "RGB", "grey": "L", "rgba": "RGBA", "palette": "P"}[kind]
            tile.convert("RGB").convert(mode).save(other, quality=95, subsampling=0)
    read, mask, _ = pixels_of(
        f"{tile_service.url}/other/{{z}}/{{x}}/{{y}}.{suffix}", Place(TILES_BOX, zoom=ZOOM)
    )
    expected = np.zeros_like(read)
    for column, x in enumerate(sorted(path.name for path in folder.iterdir())):
        for row, path in enumerate(sorted((folder / x).iterdir())):
            with Image.open(path) as tile:
                part = np.moveaxis(np.asarray(tile.convert("RGB")), -1, 0)
            expected[:, row * 256 : row * 256 + 256, column * 256 : column * 256 + 256] = part
    assert np.abs(read.astype(int) - expected).max() <= (2 if kind == "jpg" else 0)  # two decoders of JPEG
    assert (mask == 255).all()


def test_tiles_counted_from_the_south_are_found(tile_service, tile_ground):
    south = tile_service.folder / "south" / str(ZOOM)
    for path in (tile_service.folder / str(ZOOM)).glob("*/*.png"):
        other = south / path.parent.name / f"{2**ZOOM - 1 - int(path.stem)}.png"
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(path.read_bytes())
    read, *_ = pixels_of(f"{tile_service.url}/south/{{z}}/{{x}}/{{-y}}.png", Place(TILES_BOX, zoom=ZOOM))
    np.testing.assert_array_equal(read, tile_ground[0])


def test_where_a_tile_is_missing_the_map_is_masked(tile_service, tmp_path, straight):
    next((tile_service.folder / str(ZOOM)).glob("*/*8.png")).unlink()  # in the second row
    translate_raster(straight(tile=256), tile_service.url + TEMPLATE, tmp_path / "map.tif", OPTIONS)
    with rasterio.open(tmp_path / "map.tif") as file:
        valid = file.dataset_mask() > 0
    assert valid.sum() == 3 * 256**2
    assert valid[:256].all()


SILENT = ("hang", "stall")
PATIENCE = 3  # s for the silent ones, above what a good answer takes on a busy machine


@pytest.mark.parametrize("fault", ["html", "500", "truncate", "hang", "stall"])
def test_a_tile_that_comes_broken_is_asked_for_again(tile_service, tile_ground, fault, monkeypatch):
    if fault in SILENT:
        monkeypatch.setattr(map_services, "TIMEOUT", PATIENCE)
    source = find_source(tile_service.url + TEMPLATE, Place(TILES_BOX, zoom=ZOOM))
    tile_service.fault(fault)
    with gdal_env(), open_raster(source, bands=None, count=3) as raster:
        np.testing.assert_array_equal(raster.read(raster.grid.whole), tile_ground[0])


def test_a_jpeg_that_comes_in_half_is_no_tile(tile_service):
    folder = tile_service.folder / "jpg" / str(ZOOM)
    for path in (tile_service.folder / str(ZOOM)).glob("*/*.png"):
        other = folder / path.parent.name / f"{path.stem}.jpg"
        other.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as tile:
            tile.convert("RGB").save(other)
    template = f"{tile_service.url}/jpg/{{z}}/{{x}}/{{y}}.jpg"
    whole, *_ = pixels_of(template, Place(TILES_BOX, zoom=ZOOM))
    for path in (tile_service.folder.parent / "cache" / "tiles").rglob("*"):
        if path.is_file():
            path.unlink()
    source = find_source(template, Place(TILES_BOX, zoom=ZOOM))
    tile_service.fault("truncate")
    with gdal_env(), open_raster(source, bands=None, count=3) as raster:
        np.testing.assert_array_equal(raster.read(raster.grid.whole), whole)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("html", "answers with text/html, which is no image: <!DOCTYPE html><html><body>Please log in"),
        ("403", r"answers with status 403"),
        ("truncate", r"cannot be reached|a damaged image/png"),
        ("stall", r"does not answer within 3 s; try it later"),
    ],
)
def test_a_service_that_gives_no_tiles_is_refused_in_a_sentence(tile_service, fault, sentence, monkeypatch):
    if fault in SILENT:
        monkeypatch.setattr(tile_probe, "TIMEOUT", PATIENCE)
    tile_service.fault(fault, 9)
    with pytest.raises(ImageError, match=sentence):
        find_source(tile_service.url + TEMPLATE, Place(TILES_BOX, zoom=ZOOM))


@pytest.mark.parametrize(("fault", "sentence"), [("500", "status 500"), ("html", "text/html")])
def test_a_service_that_fails_under_way_is_named_and_the_rows_are_kept(
    tile_service, tmp_path, straight, fault, sentence
):
    url = tile_service.url + TEMPLATE
    place = Place(TILES_BOX, zoom=ZOOM)
    pixels_of(url, place, Area(0, 0, 256, 512))  # the upper tiles are in the cache
    tile_service.fault(fault, 99, after=1)
    with pytest.raises(ImageError, match=sentence) as caught:
        translate_raster(straight(tile=128), url, tmp_path / "map.tif", OPTIONS)
    assert caught.value.setting == "resume"
    tile_service.fault("", 0)
    options = RasterOptions(**{**vars(OPTIONS), "resume": True})
    result = translate_raster(straight(tile=128), url, tmp_path / "map.tif", options)
    assert result.resumed_rows > 100
    translate_raster(straight(tile=128), url, tmp_path / "at_once.tif", OPTIONS)
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "at_once.tif").read_bytes()


@pytest.mark.parametrize(
    ("place", "sentence", "setting"),
    [
        ({}, "covers the world, or much of it", "bbox"),
        ({"bbox": TILES_BOX}, r"choose one: there, 16 has 1.5 m per pixel, 17 has 0.73", "zoom"),
        ({"bbox": TILES_BOX, "zoom": 19}, "no tiles at zoom 19 there: its deepest zoom there is 17", "zoom"),
        ({"bbox": TILES_BOX, "zoom": 99}, "there is no zoom 99: give 0 to 24", "zoom"),
        ({"bbox": (10, 50, 10.01, 50.01), "zoom": 17}, "lies outside .*: there are no tiles", "bbox"),
        ({"bbox": (4e5, 5.8e6, 4e5 + 9, 5.9e6), "zoom": 17}, "give west, south, east and north", "bbox"),
        ({"bbox": (-10, 50, 20, 60), "zoom": 17}, r"more than the 50,000 that one job may", "bbox"),
        ({"bbox": (170, 50, -170, 60), "zoom": 9}, "translate 170,50,180,60 and -180,50,-170,60", "bbox"),
        ({"bbox": TILES_BOX, "zoom": 17, "bbox_crs": "Berlin"}, "not a CRS that PROJ knows", "bbox_crs"),
    ],
)
def test_what_a_service_cannot_give_is_one_sentence(tile_service, place, sentence, setting):
    with pytest.raises(SettingsError, match=sentence) as caught:
        find_source(tile_service.url + TEMPLATE, Place(**place))
    assert caught.value.setting == setting


def test_a_box_may_be_in_another_crs(tile_service, tile_ground):
    transform = tile_ground[1]
    left, top = transform @ (1, 1)
    right, bottom = transform @ (511, 511)
    place = Place((left, bottom, right, top), "EPSG:3857", ZOOM)
    assert pixels_of(tile_service.url + TEMPLATE, place)[0].shape == (3, 512, 512)


def test_the_licence_and_the_number_of_tiles_are_said_before_the_work(tile_service, tmp_path, straight):
    said = []
    translator = straight(lambda x: said.append("network") or x)
    translate_raster(translator, tile_service.url + TEMPLATE, tmp_path / "map.tif", OPTIONS, note=said.append)
    assert "4 tiles of 256 px are asked for at zoom 17 (0.73 m per pixel)" in said[0]
    assert "imagery has a licence" in said[1]
    assert said.index("network") > 1


@pytest.mark.parametrize("fault", ["truncate", "hang"])
@pytest.mark.parametrize("resampled", [False, True])
def test_a_range_that_breaks_off_is_read_again_after_reopening(
    tile_service, tile_ground, fault, resampled, monkeypatch
):
    if fault in SILENT:
        monkeypatch.setattr("sat2map.geo.gdal.TIMEOUT", PATIENCE)
    address = f"{tile_service.url}/ortho.tif"

    def read(raster):
        if not resampled:
            return raster.read(raster.grid.whole)
        with raster.resampled(2, 2) as coarser:
            return coarser.read(coarser.grid.whole)

    with gdal_env(), open_raster(address, bands=None, count=3) as raster:
        expected = read(raster)
    with gdal_env(), open_raster(address, bands=None, count=3) as raster:
        tile_service.fault(fault)
        np.testing.assert_array_equal(read(raster), expected)


def test_nothing_beside_a_remote_raster_is_asked_for(tile_service):
    pixels_of(f"{tile_service.url}/ortho.tif", Place())
    assert set(tile_service.requests) == {"/ortho.tif"}


def test_a_box_of_a_remote_raster_needs_only_its_part(tile_service, tmp_path, straight):
    left, top = rasterio.open(tile_service.folder / "ortho.tif").transform @ (0, 0)
    box = (left + 10, top - 60, left + 60, top - 10)
    translate_raster(
        straight(), f"{tile_service.url}/ortho.tif", tmp_path / "map.tif",
        RasterOptions(bbox=box, resolution="source"),
    )  # fmt: skip
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.bounds.left == pytest.approx(left + 10, abs=1.2)
        assert file.shape == (43, 43)


def test_a_file_has_no_zoom_and_no_assets(write):
    source = write(np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(SettingsError, match="has no zoom levels"):
        find_source(source, Place(zoom=3))
    with pytest.raises(SettingsError, match="no STAC item, and has no assets"):
        find_source(source, Place(asset="visual"))


def test_cutting_a_raster_keeps_values_nodata_palette_and_place(tmp_path):
    from sat2map.geo.sources import Source, cut_source

    pixels = np.random.default_rng(1).integers(0, 3, (40, 50), dtype=np.uint8)
    path = tmp_path / "classes.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=50, height=40, count=1, dtype="uint8", crs="EPSG:32633", nodata=2,
        transform=Affine(1, 0, 100, 0, -1, 200),
    ) as file:  # fmt: skip
        file.write(pixels, 1)
        file.write_colormap(1, {0: (1, 2, 3, 255), 1: (4, 5, 6, 255)})
    cut = cut_source(Source.of(path), (110, 170, 130, 190), None)
    with rasterio.open(cut.path) as part:
        np.testing.assert_array_equal(part.read(1), pixels[10:30, 10:30])
        assert (part.nodata, part.bounds[:]) == (2, (110, 170, 130, 190))
        assert part.colormap(1)[1] == (4, 5, 6, 255)


def test_a_box_where_all_tiles_are_transparent_is_refused(tile_service, tmp_path, straight):
    empty = io.BytesIO()
    Image.new("RGBA", (256, 256)).save(empty, "PNG")
    for path in (tile_service.folder / str(ZOOM)).glob("*/*.png"):
        path.write_bytes(empty.getvalue())
    with pytest.raises(EmptyRasterError, match="holds no valid pixel"):
        translate_raster(straight(tile=256), tile_service.url + TEMPLATE, tmp_path / "map.tif", OPTIONS)


@pytest.mark.parametrize("count", [1, 3])
def test_a_tile_that_is_missing_for_a_moment_is_whole_or_masked(tile_service, tile_ground, count):
    source = find_source(tile_service.url + TEMPLATE, Place(TILES_BOX, zoom=ZOOM))
    tile_service.fault("404", count=count)
    with gdal_env(), open_raster(source, bands=None, count=3) as raster:
        read, mask = raster.read(raster.grid.whole), raster.read_mask(raster.grid.whole)
    there = mask > 0
    np.testing.assert_array_equal(read[:, there], tile_ground[0][:, there])


def test_a_tile_that_is_missing_for_a_moment_leaves_nothing_black_in_coarser_pixels(
    tile_service, tile_ground
):
    source = find_source(tile_service.url + TEMPLATE, Place(TILES_BOX, zoom=ZOOM))
    tile_service.fault("404")
    with gdal_env(), open_raster(source, bands=None, count=3) as raster, raster.resampled(2, 2) as coarser:
        read, mask = coarser.read(coarser.grid.whole), coarser.read_mask(coarser.grid.whole)
    expected = tile_ground[0].reshape(3, 256, 2, 256, 2).mean(axis=(2, 4))
    assert np.abs(read - expected)[:, mask > 0].mean() < 8
