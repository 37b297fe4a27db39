"""Maps as vectors, and as web-mercator tiles."""

from __future__ import annotations

import io
import sqlite3
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from pmtiles.reader import MmapSource, Reader

from sat2map.errors import ImageError, OutputError, SettingsError
from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.tiles import write_tiles
from sat2map.geo.translate_raster import translate_raster
from sat2map.geo.vectorize import vectorize_raster
from sat2map.images.palette import Palette

LAND, BUILDING, ROAD, WATER = (232, 229, 223), (243, 241, 235), (254, 254, 254), (177, 208, 254)


def features(path, layer=None):
    """Geometries and fields of a layer."""
    meta, _, shapes, columns = pyogrio.raw.read(path, layer=layer)
    return shapely.from_wkb(shapes), dict(zip(meta["fields"], columns, strict=True)), meta["crs"]


@pytest.fixture
def simple(write):
    """Land with a square house of 30 px, and a road of 6 px from edge to edge."""
    pixels = np.empty((200, 200, 3), np.uint8)
    pixels[:] = LAND
    pixels[20:50, 30:60] = BUILDING
    pixels[100:106] = ROAD
    return write(np.moveaxis(pixels, -1, 0), "map.tif")


def test_each_class_is_a_layer_with_areas_in_square_metres(simple, tmp_path):
    vectorize_raster(simple, tmp_path / "map.gpkg")
    layers = {name for name, _ in pyogrio.list_layers(tmp_path / "map.gpkg")}
    assert layers == {"land", "building", "road", "road_centre", "layer_styles"}
    shapes, fields, crs = features(tmp_path / "map.gpkg", "building")
    assert crs == "EPSG:32633"
    assert fields["class"].tolist() == ["building"]
    # UTM stretches by 0.9996 to 1.0004, so the ellipsoid's area is near the plane's.
    assert fields["area_m2"][0] == pytest.approx((30 * 2.1) ** 2, rel=0.02)
    assert shapes[0].bounds == pytest.approx((400_063, 4_999_895, 400_126, 4_999_958), abs=3)


def test_roads_have_centre_lines_with_their_length(simple, tmp_path):
    vectorize_raster(simple, tmp_path / "map.gpkg")
    lines, fields, _ = features(tmp_path / "map.gpkg", "road_centre")
    assert len(lines) == 1
    assert fields["length_m"][0] == pytest.approx(200 * 2.1, rel=0.05)
    ys = shapely.get_coordinates(lines)[:, 1]
    assert np.abs(ys - (5_000_000 - 103 * 2.1)).max() < 2.1


def test_centre_lines_meet_at_a_crossing(write, tmp_path):
    pixels = np.empty((120, 120, 3), np.uint8)
    pixels[:] = LAND
    pixels[57:63] = ROAD
    pixels[:, 57:63] = ROAD
    vectorize_raster(write(np.moveaxis(pixels, -1, 0)), tmp_path / "map.gpkg")
    lines, fields, _ = features(tmp_path / "map.gpkg", "road_centre")
    assert 4 <= len(lines) <= 5
    assert fields["length_m"].sum() == pytest.approx(2 * 120 * 2.1, rel=0.1)


def test_simplified_neighbours_leave_no_gaps(write, town, tmp_path):
    vectorize_raster(write(town[1]), tmp_path / "map.gpkg", tolerance=2)
    total = sum(
        shapely.area(features(tmp_path / "map.gpkg", name)[0]).sum()
        for name, kind in pyogrio.list_layers(tmp_path / "map.gpkg")
        if kind == "Polygon"
    )
    assert total == pytest.approx(300 * 300 * 2.1**2, rel=1e-6)


def test_simplifying_saves_most_of_the_points_and_keeps_the_classes(write, town, tmp_path):
    for tolerance in (0, 3.0):
        vectorize_raster(write(town[1]), tmp_path / f"{tolerance}.gpkg", tolerance=tolerance)
    exact, simple = (features(tmp_path / f"{t}.gpkg", "building")[0] for t in (0, 3.0))
    assert shapely.get_num_coordinates(simple).sum() < shapely.get_num_coordinates(exact).sum() / 2
    both = shapely.area(shapely.intersection(shapely.union_all(simple), shapely.union_all(exact)))
    assert both / shapely.area(exact).sum() > 0.9


@pytest.mark.parametrize(("suffix", "expected"), [("geojson", "EPSG:4326"), ("fgb", "EPSG:32633")])
def test_other_formats_hold_all_classes_in_one_layer(simple, tmp_path, suffix, expected):
    vectorize_raster(simple, tmp_path / f"map.{suffix}")
    shapes, fields, crs = features(tmp_path / f"map.{suffix}")
    assert crs == expected
    assert set(fields["class"]) == {"land", "building", "road"}
    assert {g.geom_type for g in shapes} == {"Polygon", "LineString"}


def test_classes_come_from_the_class_head_where_there_is_one(write, town, tmp_path, random_translator, read):
    options = RasterOptions(classes=tmp_path / "classes.tif")
    translate_raster(random_translator(), write(town[0][:, :80, :80]), tmp_path / "map.tif", options)
    result = vectorize_raster(tmp_path / "map.tif", tmp_path / "map.gpkg", tolerance=0, min_area=0)
    assert any("classes are those of" in note for note in result.notes)
    names, numbers = Palette.load("maps").names, read(tmp_path / "classes.tif")[0]
    for number in np.unique(numbers):
        area = shapely.area(features(tmp_path / "map.gpkg", names[number])[0]).sum() / 2.1**2
        assert area == pytest.approx((numbers == number).sum())


def test_nodata_is_no_class(write, town, tmp_path):
    pixels = town[1].copy()
    pixels[:, :, 100:] = 0
    vectorize_raster(write(pixels, nodata=0), tmp_path / "map.gpkg")
    for name in ("land", "building", "road"):
        assert shapely.total_bounds(features(tmp_path / "map.gpkg", name)[0])[2] <= 400_000 + 100 * 2.1 + 0.1


def test_a_raster_without_crs_has_sizes_in_pixels(write, town, tmp_path):
    result = vectorize_raster(write(town[1], crs=None, transform=None), tmp_path / "map.gpkg")
    assert any("no CRS" in note for note in result.notes)
    assert "area_px" in features(tmp_path / "map.gpkg", "land")[1]


def test_vectors_that_cannot_be_made(simple, write, tmp_path):
    (tmp_path / "there.gpkg").touch()
    given: Any
    for kind, words, raster, output, given in [
        (OutputError, "no vector suffix", simple, "map.dxf", {}),
        (OutputError, "exists", simple, "there.gpkg", {}),
        (ImageError, "does not exist", tmp_path / "no.tif", "m.gpkg", {}),
        (ImageError, "is no map", write(np.ones((64, 64), np.uint16), "x.tif"), "m.gpkg", {}),
        (ImageError, "all nodata", write(np.zeros((3, 64, 64), np.uint8), "n.tif", nodata=0), "m.gpkg", {}),
        (SettingsError, "must not be negative", simple, "m.gpkg", {"tolerance": -1.0}),
    ]:
        with pytest.raises(kind, match=words):
            vectorize_raster(raster, tmp_path / output, **given)
    assert not (tmp_path / "m.gpkg").exists()


# tiles


@pytest.fixture
def chequered(write):
    """A raster whose colour tells where a pixel lies, on 1.2 km of ground."""
    y, x = np.mgrid[0:600, 0:600]
    return write(np.stack([x * 255 // 600, y * 255 // 600, np.full_like(x, 90)]).astype(np.uint8), "m.tif")


def position(longitude, latitude, zoom):
    """Tile column and row, with fractions (the slippy map's own formula)."""
    y = np.arcsinh(np.tan(np.radians(latitude))) / np.pi
    return (longitude + 180) / 360 * 2**zoom, (1 - y) / 2 * 2**zoom


def test_a_place_has_its_colour_in_the_tile_of_the_slippy_maps_formula(chequered, tmp_path):
    result = write_tiles(chequered, tmp_path / "tiles")
    zoom = result.zooms[1]
    for column, row in ((100, 150), (450, 333)):
        xy = Affine(2.1, 0, 400_000, 0, -2.1, 5_000_000) @ (column + 0.5, row + 0.5)
        (longitude,), (latitude,) = rasterio.warp.transform("EPSG:32633", "EPSG:4326", [xy[0]], [xy[1]])
        x, y = position(longitude, latitude, zoom)
        tile = np.asarray(Image.open(tmp_path / "tiles" / str(zoom) / str(int(x)) / f"{int(y)}.png"))
        colour = tile[int(y % 1 * 256), int(x % 1 * 256), :3].astype(int)
        assert np.abs(colour - (column * 255 // 600, row * 255 // 600, 90)).max() <= 2


def test_the_three_forms_hold_the_same_tiles(chequered, tmp_path):
    for name in ("t.mbtiles", "t.pmtiles", "t"):
        result = write_tiles(chequered, tmp_path / name, zooms=(12, 15))
    files = {
        tuple(int(part) for part in p.relative_to(tmp_path / "t").with_suffix("").parts): p.read_bytes()
        for p in (tmp_path / "t").rglob("*.png")
    }
    assert len(files) == result.count
    with sqlite3.connect(tmp_path / "t.mbtiles") as box:
        rows = box.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles").fetchall()
        about = dict(box.execute("SELECT name, value FROM metadata"))
    box.close()
    assert {(z, x, 2**z - 1 - y): data for z, x, y, data in rows} == files
    assert (about["format"], about["minzoom"], about["maxzoom"]) == ("png", "12", "15")
    with (tmp_path / "t.pmtiles").open("rb") as file:
        source = MmapSource(file)
        reader = Reader(source)
        assert all(reader.get(*place) == data for place, data in files.items())
        assert reader.header()["max_zoom"] == 15


def test_zoom_levels_go_from_one_tile_to_the_rasters_own_resolution(chequered, tmp_path):
    result = write_tiles(chequered, tmp_path / "tiles")
    # 2.1 m at 45° north: a pixel of level 15 is 156543 / 2^15 * cos(45°) = 3.4 m, of level 16 1.7 m.
    assert result.zooms[1] == 16
    assert len(list((tmp_path / "tiles" / str(result.zooms[0])).rglob("*.png"))) == 1


def test_what_is_not_there_is_transparent(write, town, tmp_path):
    pixels = np.maximum(town[1], 1)
    pixels[:, :150] = 0
    write_tiles(write(pixels, nodata=0), tmp_path / "tiles", zooms=(16, 16))
    alphas = [np.asarray(Image.open(p).convert("RGBA"))[..., 3] for p in (tmp_path / "tiles").rglob("*.png")]
    shown = sum((alpha > 0).sum() for alpha in alphas)
    pixel = 156543.034 / 2**16 * np.cos(np.radians(45.146))
    assert shown == pytest.approx(150 * 300 * (2.1 / pixel) ** 2, rel=0.05)


def test_class_numbers_are_shown_in_their_colours(write, town, tmp_path, random_translator):
    options = RasterOptions(classes=tmp_path / "c.tif")
    translate_raster(random_translator(), write(town[0]), tmp_path / "m.tif", options)
    write_tiles(tmp_path / "c.tif", tmp_path / "tiles", zooms=(16, 16))
    known = {m.colours[0] for m in Palette.load("maps").classes}
    for path in (tmp_path / "tiles").rglob("*.png"):
        image = np.asarray(Image.open(path).convert("RGBA")).reshape(-1, 4)
        assert {tuple(int(v) for v in c[:3]) for c in np.unique(image[image[:, 3] == 255], axis=0)} <= known


def test_tiles_that_cannot_be_cut(chequered, write, town, tmp_path):
    (tmp_path / "there.mbtiles").touch()
    (tmp_path / "mine").mkdir()
    given: Any
    nowhere = write(town[1], "nowhere.tif", crs=None, transform=None)
    for kind, words, raster, output, given in [
        (OutputError, "exists", chequered, "there.mbtiles", {}),
        (OutputError, "did not write", chequered, "mine", {"overwrite": True}),
        (ImageError, "has no CRS", nowhere, "t", {}),
        (ImageError, "does not exist", tmp_path / "no.tif", "t", {}),
        (ImageError, "of uint16", write(np.ones((64, 64), np.uint16), "x.tif"), "t", {}),
        (ImageError, "no valid pixel", write(np.zeros((3, 64, 64), np.uint8), "n.tif", nodata=0), "t", {}),
        (SettingsError, "they go from 0 to 24", chequered, "t", {"zooms": (9, 3)}),
    ]:
        with pytest.raises(kind, match=words):
            write_tiles(raster, tmp_path / output, **given)
    assert not (tmp_path / "t").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_tiles_are_png(chequered, tmp_path):
    write_tiles(chequered, tmp_path / "t.mbtiles", zooms=(14, 14))
    with sqlite3.connect(tmp_path / "t.mbtiles") as box:
        (data,) = box.execute("SELECT tile_data FROM tiles").fetchone()
    box.close()
    assert Image.open(io.BytesIO(data)).format == "PNG"


def _pixels_of(folder, zoom):
    tiles = [
        np.asarray(Image.open(p).convert("RGBA")).reshape(-1, 4) for p in (folder / str(zoom)).rglob("*.png")
    ]
    pixels = np.concatenate(tiles)
    return {tuple(map(int, c[:3])) for c in pixels[pixels[:, 3] == 255]}


def test_the_classes_of_a_map_are_cut_in_other_colours(write, town, tmp_path, random_translator):
    palette = Palette.load("maps")
    translate_raster(random_translator(), write(town[0]), tmp_path / "m.tif")
    write_tiles(tmp_path / "m.tif", tmp_path / "tiles", zooms=(18, 18), colors="dark")  # far above its own
    dark = Palette.load("dark")
    known = {colour for map_class in dark.classes for colour in map_class.colours}
    found = _pixels_of(tmp_path / "tiles", 18)
    assert len(found & known) >= 3
    drawn = np.array(sorted(found))
    assert drawn.min() < 60, "nothing of the light map is left in the ground"
    assert not found & {colour for map_class in palette.classes for colour in map_class.colours}


def test_other_colours_need_a_map_that_names_its_classes(chequered, tmp_path):
    with pytest.raises(SettingsError, match="names no map classes"):
        write_tiles(chequered, tmp_path / "tiles", colors="dark")
