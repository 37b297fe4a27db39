"""Square buildings, gapless coverages, graphs of roads, attributes, formats and styles."""

from __future__ import annotations

import json
import sqlite3
from xml.etree import ElementTree as Xml

import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from rasterio.features import rasterize, shapes
from shapely.affinity import rotate

from sat2map.errors import SettingsError
from sat2map.geo.class_polygons import class_polygons
from sat2map.geo.layers import NODATA
from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.regularise import main_direction, regularise
from sat2map.geo.road_graph import road_graph
from sat2map.geo.translate_raster import translate_raster
from sat2map.geo.vectorize import vectorize_raster
from sat2map.images.palette import Palette

ELL = shapely.Polygon([(20, 20), (60, 20), (60, 40), (40, 40), (40, 70), (20, 70)])
LAND, BUILDING, ROAD = (232, 229, 223), (243, 241, 235), (254, 254, 254)


def pixels_of(shape, size=110):
    return rasterize([(shape, 1)], out_shape=(size, size), dtype="uint8")


def outline(mask):
    return np.array([shapely.geometry.shape(s) for s, v in shapes(mask) if v], object)


def iou(a, b):
    return a.intersection(b).area / a.union(b).area


# buildings


@pytest.mark.parametrize("angle", [0, 17, 33, 45, 60, 80])
def test_a_turned_building_gets_its_six_right_angles_back(angle):
    true = rotate(ELL, angle, origin=(50, 50))
    (found,) = regularise(outline(pixels_of(true)), 1.5)
    steps = np.diff(shapely.get_coordinates(found), axis=0)
    assert len(steps) == 6
    turns = [
        np.dot(a, b) / np.hypot(*a) / np.hypot(*b) for a, b in zip(steps, np.roll(steps, -1, 0), strict=True)
    ]
    np.testing.assert_allclose(turns, 0, atol=1e-6)
    assert iou(found, true) > 0.92


@pytest.mark.parametrize("angle", [0, 20, 45, 70])
def test_the_main_direction_is_that_of_the_building(angle):
    box = rotate(shapely.box(0, 0, 40, 15), angle, origin=(20, 20))
    (found,) = main_direction(np.array([box]))
    assert abs((found - angle + 45) % 90 - 45) <= 1


def test_a_building_is_squared_alike_alone_and_among_others():
    court = rotate(shapely.difference(shapely.box(20, 20, 80, 70), shapely.box(40, 35, 62, 55)), 25)
    drawn = [
        rotate(ELL, 17, origin=(50, 50)),
        court,
        shapely.box(3, 3, 4, 4),
        shapely.Point(50, 50).buffer(30),
    ]
    buildings = np.concatenate([outline(pixels_of(one)) for one in drawn])
    together = regularise(buildings, 1.5)
    alone = np.concatenate([regularise(buildings[i : i + 1], 1.5) for i in range(len(buildings))])
    assert shapely.equals_exact(together, alone, 1e-9).all()
    assert [len(one.interiors) for one in together] == [0, 1, 0, 0]
    assert iou(together[1], court) > 0.93


def test_a_round_building_stays_round():
    round_one = shapely.Point(50, 50).buffer(30)
    (found,) = regularise(outline(pixels_of(round_one)), 1.0)
    assert iou(found, round_one) > 0.95


def classes_with_buildings():
    """Return land with a road, buildings turned by all angles, some against the road, and missing pixels."""
    classes = np.zeros((240, 240), np.uint8)
    classes[110:122] = 2
    rng = np.random.default_rng(0)
    for row in range(20, 240, 36):
        for column in range(20, 240, 30):
            size = rng.uniform(6, 13, 2)
            house = rotate(
                shapely.box(column - size[0], row - size[1], column + size[0], row + size[1]),
                rng.uniform(0, 90),
            )
            classes[rasterize([(house, 1)], out_shape=classes.shape, dtype="uint8") > 0] = 1
    classes[:, 230:] = NODATA
    return classes


def test_polygons_cover_the_map_once_without_slivers():
    classes = classes_with_buildings()
    polygons, numbers = class_polygons(classes, 1, tolerance=1.5, min_area=20)
    assert shapely.is_valid(polygons).all()
    assert set(numbers) == {0, 1, 2}
    union = shapely.union_all(polygons)
    assert shapely.area(polygons).sum() == pytest.approx(union.area, rel=1e-9)  # no overlaps
    assert union.area == pytest.approx(240 * 230, rel=2e-3)
    holes = sum(shapely.Polygon(ring).area for part in shapely.get_parts(union) for ring in part.interiors)
    assert holes < 1e-6  # no gaps
    assert shapely.area(polygons).min() >= 10
    for number in (0, 1, 2):
        drawn = rasterize(polygons[numbers == number], out_shape=classes.shape)
        assert (drawn.astype(bool) == (classes == number)).mean() > 0.97


# roads


def crossing():
    mask = np.zeros((200, 200), bool)
    mask[95:107] = True
    mask[:, 50:58] = True
    return mask


def test_lines_of_a_crossing_share_one_node_and_reach_the_border():
    graph = road_graph(crossing(), shortest=10, tolerance=1)
    assert len(graph.lines) == 4
    nodes, counts = np.unique(graph.nodes, return_counts=True)
    assert len(nodes) == 5
    assert sorted(counts) == [1, 1, 1, 1, 4]
    assert shapely.length(graph.lines).sum() == pytest.approx(400, abs=6)
    assert sorted(graph.widths.round()) == [8, 8, 12, 12]


def test_a_spur_shorter_than_the_road_is_wide_is_removed_and_a_side_road_kept():
    mask = np.zeros((120, 200), bool)
    mask[50:60] = True
    mask[44:50, 60:64] = True  # a bump
    mask[60:110, 120:128] = True  # a side road
    graph = road_graph(mask, shortest=10, tolerance=1)
    assert len(graph.lines) == 3
    assert shapely.total_bounds(graph.lines)[1] > 50


def test_a_road_that_becomes_a_highway_is_parted_at_a_node_there():
    kinds = np.zeros((40, 300), np.uint8)
    kinds[16:24, :120], kinds[16:24, 120:] = 2, 5
    graph = road_graph(kinds > 0, kinds, shortest=10, tolerance=1)
    ends = sorted(sorted(shapely.get_coordinates(line)[:, 0]) for line in graph.lines)
    assert [(line[0], line[-1]) for line in ends] == [
        (pytest.approx(0.5), pytest.approx(120.5)),
        (pytest.approx(120.5), pytest.approx(299.5)),
    ]
    assert len(np.unique(graph.nodes)) == 3


def test_a_road_that_crosses_a_highway_is_parted_at_their_crossing_alone():
    kinds = np.where(crossing(), np.uint8(2), np.uint8(0))
    plain = road_graph(kinds > 0, shortest=10, tolerance=1)
    kinds[:, np.flatnonzero(kinds[0])] = 5
    graph = road_graph(kinds > 0, kinds, shortest=10, tolerance=1)
    assert [line.wkt for line in graph.lines] == [line.wkt for line in plain.lines]


def test_short_loose_pieces_are_no_roads():
    mask = crossing()
    mask[20:24, 120:127] = True
    assert len(road_graph(mask, shortest=10, tolerance=1).lines) == 4


# the whole way


@pytest.fixture
def simple(write):
    pixels = np.empty((200, 200, 3), np.uint8)
    pixels[:] = LAND
    pixels[20:50, 30:60] = BUILDING
    pixels[100:106] = ROAD
    return write(np.moveaxis(pixels, -1, 0), "map.tif")


def read(path, layer=None):
    meta, _, stored, columns = pyogrio.raw.read(path, layer=layer)
    return shapely.from_wkb(stored), dict(zip(meta["fields"], columns, strict=True)), meta["crs"]


def test_features_say_how_they_were_made(write, town, tmp_path, random_translator):
    options = RasterOptions(classes=tmp_path / "c.tif", confidence=tmp_path / "s.tif")
    source = write(town[0][:, :96, :96], "ortho.tif")
    translate_raster(
        random_translator(), source, tmp_path / "map.tif", options, model=("m.safetensors", "ab" * 32)
    )
    vectorize_raster(tmp_path / "map.tif", tmp_path / "v.gpkg", tolerance=0, min_area=0)
    with rasterio.open(tmp_path / "s.tif") as file:
        sure = file.read(1)
    with rasterio.open(tmp_path / "c.tif") as file:
        classes = file.read(1)
    names = Palette.load("maps").names
    number = int(np.bincount(classes.ravel()).argmax())
    polygons, fields, _ = read(tmp_path / "v.gpkg", names[number])
    assert set(fields["model"]) == {"m.safetensors"}
    assert set(fields["model_sha256"]) == {"ab" * 32}
    assert set(fields["source"]) == {"ortho.tif"}
    assert all(len(date) == 10 for date in fields["date"])
    largest = int(shapely.area(polygons).argmax())
    inside = sure[classes == number]
    assert inside.min() <= fields["confidence"][largest] <= inside.max()


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson", ".parquet", ".shp"])
def test_each_format_holds_the_same_buildings(simple, tmp_path, suffix):
    output = tmp_path / f"map{suffix}"
    vectorize_raster(simple, output)
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(output)
        about = json.loads(table.schema.metadata[b"geo"])
        column = about["columns"]["geometry"]
        assert about["version"] == "1.1.0"
        assert pyproj.CRS.from_json_dict(column["crs"]).to_epsg() == 32633
        shapes_found, classes = shapely.from_wkb(table["geometry"].to_pylist()), table["class"].to_pylist()
        boxes = table["bbox"].to_pylist()
        assert boxes[0]["xmin"] == shapely.bounds(shapes_found[0])[0]
    else:
        shapes_found, fields, _ = read(output, "building" if suffix == ".gpkg" else None)
        classes = fields["class"]
    building = np.asarray(shapes_found)[np.asarray(classes) == "building"]
    assert len(building) == 1
    if suffix != ".geojson":
        assert building[0].bounds == pytest.approx((400_063, 4_999_895, 400_126, 4_999_958), abs=0.1)
    if suffix == ".shp":
        assert (tmp_path / "map_lines.shp").exists()
    if suffix != ".gpkg":
        assert {c.get("value") for c in Xml.parse(tmp_path / "map.qml").iter("category")} >= {
            "building",
            "road",
        }


def test_vector_tiles_come_with_a_style(simple, tmp_path):
    vectorize_raster(simple, tmp_path / "map.pmtiles")
    _, fields, _ = read(tmp_path / "map.pmtiles")
    assert {"land", "building", "road"} <= set(fields["class"])
    style = json.loads((tmp_path / "map.style.json").read_text())
    assert style["version"] == 8
    fills = {layer["id"]: layer["paint"].get("fill-color") for layer in style["layers"]}
    assert fills["building"] == "#f3f1eb"
    assert {layer["source-layer"] for layer in style["layers"]} == {"map"}


@pytest.mark.parametrize("suffix", ["geojson", "pmtiles"])
def test_formats_in_longitude_and_latitude_need_a_crs(write, town, tmp_path, suffix):
    with pytest.raises(SettingsError, match="no CRS"):
        vectorize_raster(write(town[1], crs=None, transform=None), tmp_path / f"m.{suffix}")


def test_geopackages_carry_the_colours_of_the_palette(simple, tmp_path):
    vectorize_raster(simple, tmp_path / "map.gpkg")
    with sqlite3.connect(tmp_path / "map.gpkg") as box:
        rows = dict(box.execute("SELECT f_table_name, styleQML FROM layer_styles WHERE useAsDefault = 1"))
    assert set(rows) == {"land", "building", "road", "road_centre"}
    assert "243,241,235,255" in rows["building"]
    assert "SimpleLine" in rows["road_centre"]


def test_thresholds_follow_the_pixels_that_the_model_saw(simple, tmp_path):
    with rasterio.open(simple, "r+") as file:
        file.update_tags(SAT2MAP_RESOLUTION="source x 8, 8")
    result = vectorize_raster(simple, tmp_path / "coarse.gpkg")
    assert "building" not in result.features  # 900 px are fewer than 20 of 64
    result = vectorize_raster(simple, tmp_path / "fine.gpkg", min_area=100)
    assert result.features["building"] == 1


def test_class_and_confidence_rasters_have_names_and_styles(write, town, tmp_path, random_translator):
    options = RasterOptions(classes=tmp_path / "c.tif", confidence=tmp_path / "s.tif")
    translate_raster(random_translator(), write(town[0][:, :64, :64]), tmp_path / "map.tif", options)
    names = [name.text for name in Xml.parse(tmp_path / "c.tif.aux.xml").iter("Category")]
    assert names == list(Palette.load("maps").names)
    entries = {e.get("label"): e.get("color") for e in Xml.parse(tmp_path / "c.qml").iter("paletteEntry")}
    assert entries["water"] == "#b1d0fe"
    assert [i.get("value") for i in Xml.parse(tmp_path / "s.qml").iter("item")] == ["0", "50", "75", "100"]
