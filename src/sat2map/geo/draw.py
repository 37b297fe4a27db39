"""Owns drawing vectors in a style onto a grid of pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize

from sat2map.errors import DataError
from sat2map.geo.grid import GeoGrid
from sat2map.geo.style import Style, StyleLayer, parse_colour

FINER = 4  # pixels are drawn this many times finer and averaged, so that edges are smooth
_OTHER_TAGS = re.compile(r'"((?:[^"\\]|\\.)*)"=>"((?:[^"\\]|\\.)*)"')
_POLYGONS, _LINES = (3, 6), (1, 5, 2)  # type numbers of shapely


@dataclass(frozen=True)
class Drawable:
    """One layer's features in the grid's CRS, borders and lines already as areas, ready to be filled.

    Attributes:
        areas: Geometries, with an index by place.
        colour: Red, green, blue.
    """

    areas: shapely.STRtree
    colour: tuple[int, int, int]


class VectorMap:
    """Vectors in a style, to be drawn piece by piece."""

    def __init__(self, path: Path, style: Style, grid: GeoGrid) -> None:
        """Read the vectors that lie on a grid.

        Args:
            path: Whatever GDAL reads: .gpkg, .geojson, .osm.pbf, .shp, …
            style: How to draw them.
            grid: Where they will be drawn, at any resolution.

        Raises:
            DataError: The file cannot be read, says no CRS, or has nothing to draw on the grid.
        """
        if grid.crs is None:
            raise DataError("the orthophoto has no CRS, so vectors cannot be laid over it: give it one first")
        geometries, fields = _read(path, style.fields, grid)
        metres = grid.metres()
        assert metres is not None
        unit = abs(grid.transform.determinant) ** 0.5 / (metres[0] * metres[1]) ** 0.5  # CRS units a metre
        self.background = parse_colour(style.background)
        self.drawables = [
            drawable for layer in style.layer for drawable in _prepare(layer, geometries, fields, unit)
        ]
        if not self.drawables:
            raise DataError(f"{path} has nothing there that the style draws: does it cover the orthophoto?")

    def draw(self, grid: GeoGrid) -> NDArray[np.uint8]:
        """Draw a piece of the map, uint8 (3, h, w)."""
        shape = (grid.height * FINER, grid.width * FINER)
        transform = grid.transform @ Affine.scale(1 / FINER)
        corners = [
            transform @ (x, y) for x, y in ((0, 0), (shape[1], 0), (shape[1], shape[0]), (0, shape[0]))
        ]
        piece = shapely.Polygon(corners)
        numbers = np.zeros(shape, np.uint8)
        for number, drawable in enumerate(self.drawables, 1):
            found = drawable.areas.query(piece, predicate="intersects")
            if len(found):
                areas = ((area, number) for area in drawable.areas.geometries[found])
                rasterize(areas, out=numbers, transform=transform)
        colours = np.array([self.background, *(drawable.colour for drawable in self.drawables)], np.float32)
        fine = colours[numbers].reshape(grid.height, FINER, grid.width, FINER, 3)
        return np.moveaxis(np.rint(fine.mean(axis=(1, 3))).astype(np.uint8), -1, 0)


def _read(path: Path, wanted: set[str], grid: GeoGrid) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Return the geometries on the grid in its CRS, and their fields."""
    if not path.exists():
        raise DataError(f"{path} does not exist")
    geometries: list[NDArray[Any]] = []
    fields: dict[str, list[NDArray[Any]]] = {name: [] for name in wanted}
    try:
        for name, kind in pyogrio.list_layers(path):
            if kind is None or "Point" in str(kind):
                continue
            found, columns = _read_layer(path, str(name), wanted, grid)
            geometries.append(found)
            for field, values in columns.items():
                fields[field].append(values)
    except pyogrio.errors.DataSourceError as error:
        raise DataError(f"{path} cannot be read as vectors ({' '.join(str(error).split())})") from None
    if not geometries:
        raise DataError(f"{path} has no lines and no polygons")
    return np.concatenate(geometries), {name: np.concatenate(values) for name, values in fields.items()}


def _read_layer(
    path: Path, layer: str, wanted: set[str], grid: GeoGrid
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    about = pyogrio.read_info(path, layer=layer)
    if about["crs"] is None:
        raise DataError(f"{path} does not say its CRS: convert it to GeoPackage with one")
    # OSM's readers go through the whole file for a box; all others have an index, or are small.
    meta, _, shapes, columns = pyogrio.raw.read(path, layer=layer, bbox=_box_in(about["crs"], grid))
    geometries = shapely.from_wkb(shapes)
    to_grid = pyproj.Transformer.from_crs(
        pyproj.CRS(about["crs"]), pyproj.CRS(_wkt(grid.crs)), always_xy=True
    )
    geometries = shapely.transform(geometries, to_grid.transform, interleaved=False)
    values = dict(zip(meta["fields"], columns, strict=True))
    return geometries, {name: _column(name, values, len(geometries)) for name in wanted}


def _column(name: str, values: dict[str, NDArray[Any]], count: int) -> NDArray[Any]:
    """Return a field's values as text; OSM keeps the rarer ones together in `other_tags`."""
    if name in values:
        return np.array([None if value is None else str(value) for value in values[name]], object)
    others = values.get("other_tags")
    if others is None:
        return np.full(count, None, object)
    return np.array([dict(_OTHER_TAGS.findall(text)).get(name) if text else None for text in others], object)


def _box_in(crs: str, grid: GeoGrid) -> tuple[float, float, float, float]:
    to_file = pyproj.Transformer.from_crs(pyproj.CRS(_wkt(grid.crs)), pyproj.CRS(crs), always_xy=True)
    box: tuple[float, float, float, float] = to_file.transform_bounds(*grid.bounds(), densify_pts=21)
    return box


def _wkt(crs: CRS | None) -> str:
    assert crs is not None
    return str(crs.to_wkt())


def _prepare(
    layer: StyleLayer, geometries: NDArray[Any], fields: dict[str, NDArray[Any]], unit: float
) -> list[Drawable]:
    kinds = shapely.get_type_id(geometries)
    chosen = np.isin(kinds, _POLYGONS if layer.geometry == "polygon" else _LINES)
    if layer.where:
        chosen &= np.logical_or.reduce([_has(fields[name], values) for name, values in layer.where.items()])
    shapes = geometries[chosen]
    if not len(shapes):
        return []
    half = layer.width / 2 * unit if layer.geometry == "line" else 0.0
    drawables = []
    if layer.casing:
        border = shapely.buffer(shapes, half + layer.casing * unit)
        drawables.append(Drawable(shapely.STRtree(border), parse_colour(layer.casing_fill)))
    if half:
        shapes = shapely.buffer(shapes, half)
    return [*drawables, Drawable(shapely.STRtree(shapes), parse_colour(layer.fill))]


def _has(column: NDArray[Any], values: tuple[str, ...]) -> NDArray[np.bool_]:
    if "*" in values:
        return np.array([value not in (None, "", "no") for value in column], bool)
    return np.isin(column.astype(str), values)
