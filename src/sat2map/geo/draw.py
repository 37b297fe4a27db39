"""Drawing vectors in a style onto a grid of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from sat2map.errors import DataError
from sat2map.geo.coastline import sea_polygons
from sat2map.geo.grid import GeoGrid
from sat2map.geo.style import Style, StyleLayer, parse_colour
from sat2map.geo.vector_input import LAYER, Vectors, metre_plane, read_vectors

FINER = 4  # pixels are drawn this many times finer and averaged, so that edges are smooth
_MARGIN = 50.0  # m around the grid; a line that ends there has its cap outside
_TYPES = {"polygon": (3, 6, 7), "line": (1, 5, 2, 7), "sea": (1, 5, 3, 6)}  # type numbers of shapely


@dataclass(frozen=True)
class Drawable:
    """One layer's features in metres, borders and lines already as areas, ready to be filled."""

    areas: shapely.STRtree
    colour: tuple[int, int, int]


class VectorMap:
    """Vectors in a style, to be drawn piece by piece.

    Attributes:
        notes: What a user should know about how the vectors were read.
    """

    def __init__(self, path: Path, style: Style, grid: GeoGrid) -> None:
        """Read the vectors that lie on a grid.

        Args:
            path: Whatever GDAL reads: .gpkg, .geojson, .osm.pbf, .shp, …
            style: How to draw them.
            grid: Where they will be drawn, at any resolution.

        Raises:
            DataError: The file cannot be read, names no CRS, or has nothing to draw on the grid.
        """
        if grid.crs is None:
            raise DataError(
                "the orthophoto has no CRS, so vectors cannot be laid over it",
                hint="give it one",
                setting="crs",
            )
        self._plane = metre_plane(grid)
        margin = _MARGIN + max(layer.width / 2 + layer.casing for layer in style.layer)
        vectors = read_vectors(path, style.fields, grid, margin)
        self.notes = vectors.notes
        xs, ys = zip(*(self._plane @ corner for corner in grid.corners), strict=True)
        box = shapely.box(min(xs) - 1, min(ys) - 1, max(xs) + 1, max(ys) + 1)
        mirrored = self._plane.determinant < 0
        self.background = parse_colour(style.background)
        self.drawables = [
            drawable for layer in style.layer for drawable in _prepare(layer, vectors, box, mirrored=mirrored)
        ]
        if not self.drawables:
            raise self._nothing_drawn(path, style, vectors)

    @staticmethod
    def _nothing_drawn(path: Path, style: Style, vectors: Vectors) -> DataError:
        if not len(vectors.geometries):
            return DataError(f"{path} has nothing where the orthophoto lies")
        if not (style.fields | {"other_tags"}) & vectors.known:
            has = ", ".join(sorted(vectors.known - {LAYER})) or "none"
            return DataError(
                f"{path} has none of the fields that the style asks for (it has {has})",
                hint="write a style with them; one without `where` draws all features of its geometry",
                setting="style",
            )
        return DataError(f"{path} has nothing there that the style draws", setting="style")

    def draw(self, grid: GeoGrid) -> NDArray[np.uint8]:
        """Draw a piece of the map, uint8 (3, h, w)."""
        colours = np.array([self.background, *(drawable.colour for drawable in self.drawables)], np.float32)
        fine = colours[self.numbers(grid, FINER)].reshape(grid.height, FINER, grid.width, FINER, 3)
        return np.moveaxis(np.rint(fine.mean(axis=(1, 3))).astype(np.uint8), -1, 0)

    def numbers(self, grid: GeoGrid, finer: int = 1) -> NDArray[np.uint16]:
        """Return what lies on top at each pixel's centre: 0 for the background, or a drawable's number.

        Args:
            grid: The piece.
            finer: How many times smaller the pixels are than the grid's.

        Returns:
            uint16 (h * finer, w * finer).
        """
        shape = (grid.height * finer, grid.width * finer)
        transform = self._plane @ grid.transform @ Affine.scale(1 / finer)
        piece = shapely.Polygon([self._plane @ corner for corner in grid.corners])
        numbers = np.zeros(shape, np.uint16)
        for number, drawable in enumerate(self.drawables, 1):
            found = drawable.areas.query(piece, predicate="intersects")
            if len(found):
                areas = ((area, number) for area in drawable.areas.geometries[found])
                rasterize(areas, out=numbers, transform=transform)
        return numbers


def _prepare(layer: StyleLayer, vectors: Vectors, box: shapely.Polygon, *, mirrored: bool) -> list[Drawable]:
    chosen = np.isin(shapely.get_type_id(vectors.geometries), _TYPES[layer.geometry])
    if layer.where:
        chosen &= np.logical_or.reduce(
            [_has(vectors.fields[name], values) for name, values in layer.where.items()]
        )
    for name, values in layer.where_not.items():
        chosen &= ~_has(vectors.fields[name], values)
    shapes = vectors.geometries[chosen]
    if layer.geometry == "sea":
        shapes = sea_polygons(shapes, box, mirrored=mirrored)
    else:
        shapes = shapely.get_parts(shapes)  # a repaired polygon may be a collection
        shapes = shapes[np.isin(shapely.get_type_id(shapes), _TYPES[layer.geometry])]
    if not len(shapes):
        return []
    half = layer.width / 2 if layer.geometry == "line" else 0.0
    drawables = []
    if layer.casing:
        border = shapely.buffer(shapes, half + layer.casing)
        drawables.append(Drawable(shapely.STRtree(border), parse_colour(layer.casing_fill)))
    if half:
        shapes = shapely.buffer(shapes, half)
    return [*drawables, Drawable(shapely.STRtree(shapes), parse_colour(layer.fill))]


def _has(column: NDArray[Any], values: tuple[str, ...]) -> NDArray[np.bool_]:
    if "*" in values:
        return np.array([value not in (None, "", "no") for value in column], bool)
    return np.isin(column.astype(str), values)
