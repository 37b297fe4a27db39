"""Vectors as input: clipped, then transformed; repaired or counted; as wide as on the ground."""

from __future__ import annotations

import json

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from sat2map.errors import DataError
from sat2map.geo.coastline import sea_polygons
from sat2map.geo.draw import VectorMap
from sat2map.geo.grid import GeoGrid
from sat2map.geo.style import Style
from sat2map.geo.vector_input import read_vectors

UTM = GeoGrid(CRS.from_epsg(32633), Affine(1, 0, 4e5, 0, -1, 5.8e6), 200, 300)
RED = {"fill": "#ff0000"}


def write(path, geometries, fields=None, crs="EPSG:32633"):
    fields = fields or {}
    columns = [np.array(values) for values in fields.values()]
    stored = shapely.to_wkb(np.array(geometries, object))
    pyogrio.raw.write(path, stored, columns, list(fields), driver="GPKG", geometry_type="Unknown", crs=crs)
    return path


def rectangle(left, top, right, bottom):
    """Return a polygon of pixels of the grid `UTM`."""
    return shapely.box(4e5 + left, 5.8e6 - bottom, 4e5 + right, 5.8e6 - top)


def red(path, grid=UTM, **layer):
    style = Style.model_validate(
        {"background": "#ffffff", "layer": [{"geometry": "polygon", **RED, **layer}]}
    )
    return (VectorMap(path, style, grid).draw(grid) == np.array([255, 0, 0])[:, None, None]).all(axis=0)


def test_a_polygon_is_drawn_where_it_lies(tmp_path):
    drawn = red(write(tmp_path / "v.gpkg", [rectangle(10, 20, 50, 100)]))
    expected = np.zeros((200, 300), bool)
    expected[20:100, 10:50] = True
    np.testing.assert_array_equal(drawn, expected)


def test_an_invalid_ring_is_repaired_and_counted(tmp_path):
    tie = shapely.Polygon([(4e5 + x, 5.8e6 - y) for x, y in ((0, 0), (100, 100), (100, 0), (0, 100))])
    path = write(tmp_path / "v.gpkg", [tie, rectangle(200, 0, 250, 50)])
    vectors = read_vectors(path, set(), UTM, 0)
    assert vectors.notes == [f"{path}: 1 geometries were invalid, and were repaired"]
    drawn = red(path)
    assert drawn[50, 20]
    assert drawn[50, 80]
    assert not drawn[20, 50]
    assert abs(int(drawn[:100, :100].sum()) - 5000) < 150


def test_a_ring_that_is_not_closed_is_no_traceback(tmp_path):
    ring = [[4e5, 5.8e6], [4e5 + 50, 5.8e6], [4e5 + 50, 5.8e6 - 50]]
    path = tmp_path / "v.geojson"
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}},
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring[:2]]}},
        {"type": "Feature", "properties": {}, "geometry": None},
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    vectors = read_vectors(path, set(), UTM, 0)
    assert shapely.area(vectors.geometries).sum() == pytest.approx(
        1250, rel=1e-3
    )  # a metre of UTM is 1.0004 m
    assert f"{path}: Non closed ring detected" in vectors.notes


def test_whole_numbers_with_nulls_are_found_by_a_style(tmp_path):
    path = tmp_path / "v.geojson"
    boxes = [rectangle(0, 0, 10, 10), rectangle(20, 0, 30, 10), rectangle(40, 0, 50, 10)]
    features = [
        {"type": "Feature", "properties": {"code": code}, "geometry": json.loads(shapely.to_geojson(box))}
        for code, box in zip((3, None, 4), boxes, strict=True)
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    drawn = red(path, where={"code": ["3"]})
    assert drawn[:10, :10].all()
    assert not drawn[:, 10:].any()


def test_what_a_style_excludes_is_not_drawn(tmp_path):
    boxes = [rectangle(0, 0, 10, 10), rectangle(20, 0, 30, 10), rectangle(40, 0, 50, 10)]
    path = write(tmp_path / "v.gpkg", boxes, {"tunnel": ["yes", "no", ""]})
    drawn = red(path, where_not={"tunnel": ["*"]})
    assert not drawn[:, :20].any()
    assert drawn[5, 25]
    assert drawn[5, 45]


def test_a_polygon_around_the_world_is_clipped_before_it_is_transformed(tmp_path):
    drawn = red(write(tmp_path / "v.gpkg", [shapely.box(-180, -90, 180, 90)], crs="EPSG:4326"))
    assert drawn.all()


@pytest.mark.parametrize("shift", [0, 360])
def test_vectors_across_180_degrees_are_found_on_both_sides(tmp_path, shift):
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True).transform(180.0, -16.8)
    grid = GeoGrid(CRS.from_epsg(32760), Affine(1, 0, x - 50, 0, -1, y + 50), 100, 100)
    boxes = [shapely.box(179.9, -17, 180, -16), shapely.box(-180 + shift, -17, -179.9 + shift, -16)]
    drawn = red(write(tmp_path / "v.gpkg", boxes, crs="EPSG:4326"), grid)
    assert drawn.mean() > 0.97  # the meridian itself may show


def test_widths_are_metres_along_both_axes(tmp_path):
    degrees = GeoGrid(CRS.from_epsg(4326), Affine(1 / 55800, 0, 18, 0, -1 / 111412, 60), 200, 200)
    x, y = degrees.transform @ (100, 100)
    lines = [shapely.LineString([(x, 59), (x, 61)]), shapely.LineString([(17, y), (19, y)])]
    drawn = red(write(tmp_path / "v.gpkg", lines, crs="EPSG:4326"), degrees, geometry="line", width=20)
    assert abs(int(drawn[30].sum()) - 20) <= 1
    assert abs(int(drawn[:, 30].sum()) - 20) <= 1


def test_vectors_of_another_planet_are_refused(tmp_path):
    moon = (
        'GEOGCS["Moon",DATUM["D_Moon",SPHEROID["Moon",1737400,0]],PRIMEM["Reference_Meridian",0],'
        'UNIT["Degree",0.0174532925199433]]'
    )
    path = write(tmp_path / "v.gpkg", [shapely.box(-180, -90, 180, 90)], crs=moon)
    with pytest.raises(DataError):
        read_vectors(path, set(), UTM, 0)


BOX = shapely.box(0, 0, 100, 100)


def line(*points):
    return shapely.LineString(points)


@pytest.mark.parametrize(
    ("coast", "area"),
    [
        ([line((-10, 40), (110, 40))], 4000),  # to the east: water below
        ([line((110, 40), (-10, 40))], 6000),
        ([line((-10, 40), (50, 40)), line((50, 40), (110, 40))], 4000),  # in two ways
        ([line((20, 20), (60, 20), (60, 60), (20, 60), (20, 20))], 10_000 - 1600),  # an island
        ([shapely.box(20, 20, 60, 60)], 10_000 - 1600),  # an island that GDAL made a polygon
        ([line((20, 20), (20, 60), (60, 60), (60, 20), (20, 20))], 1600),  # an inland sea
        ([line((-10, 40), (110, 40)), shapely.box(20, 60, 30, 70)], 4000),  # votes of the long coast win
        ([line((-10, 40), (50, 40))], 0),  # ends in the middle: nothing is cut
    ],
)  # fmt: skip
def test_the_sea_is_on_the_right_of_coastlines(coast, area):
    coast = np.array(coast, object)
    assert shapely.area(sea_polygons(coast, BOX, mirrored=False)).sum() == pytest.approx(area, abs=1)
    flipped = shapely.transform(coast, lambda xy: xy * [1, -1] + [0, 100])
    assert shapely.area(sea_polygons(flipped, BOX, mirrored=True)).sum() == pytest.approx(area, abs=1)


def test_no_coastline_is_no_sea():
    assert len(sea_polygons(np.array([], object), BOX, mirrored=False)) == 0
