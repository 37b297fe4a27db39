"""Reading vectors around a raster: clipped first, then transformed; what cannot be drawn is counted."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray

from sat2map.errors import DataError, reason
from sat2map.geo.crs import Box, moved_box
from sat2map.geo.geoparquet import ParquetLayer, is_parquet, parquet_layers
from sat2map.geo.grid import GeoGrid

LAYER = "@layer"  # stands for the name of a feature's layer among the fields
MAX_WARNINGS = 3  # of GDAL's, that are passed on
_OTHER_TAGS = re.compile(r'"((?:[^"\\]|\\.)*)"=>"((?:[^"\\]|\\.)*)"')


@dataclass
class Vectors:
    """Lines and polygons in metres from a grid's first pixel: x along its rows, y along its columns.

    Fields hold text, or None, in the order of the geometries; `known` are the names of all that the file has.
    """

    geometries: NDArray[Any]
    fields: dict[str, NDArray[Any]]
    notes: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)


def metre_plane(grid: GeoGrid) -> Affine:
    """Return the transform from a grid's coordinates to metres from its first pixel, along rows and columns.

    Widths in metres are right along both axes there, whatever the CRS.

    Raises:
        DataError: The grid's pixels have no known size.
    """
    metres = grid.metres()
    if metres is None:
        raise DataError("the size of the orthophoto's pixels is unknown, so vectors cannot be laid over it")
    plane: Affine = Affine.scale(*metres) @ ~grid.transform
    return plane


def read_vectors(path: Path, wanted: set[str], grid: GeoGrid, margin: float) -> Vectors:
    """Read what lies on a grid, or within a margin around it.

    Args:
        path: Whatever GDAL reads (.gpkg, .geojson, .osm.pbf, .shp, .fgb, …), GeoParquet, or a folder of it.
        wanted: Names of the fields to read; missing ones are None. `@layer` is the name of the layer.
        grid: Where the vectors will be drawn.
        margin: How far outside of it they matter (m).

    Raises:
        DataError: The file is missing or no vector file, names no CRS, or one that has nothing to do with the
            grid's.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    parts: list[Vectors] = []
    counts: Counter[str] = Counter()
    known: set[str] = set()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for layer in parquet_layers(path) if is_parquet(path) else _gdal_layers(path):
                known |= {LAYER, *layer.fields}
                parts += _read_layer(path, layer, wanted, grid, margin, counts)
    except pyogrio.errors.DataSourceError as error:
        raise DataError(f"{path} cannot be read as vectors ({reason(error)})") from None
    if not parts:
        raise DataError(f"{path} has no lines and no polygons")
    said = dict.fromkeys(str(w.message).partition(". To avoid")[0] for w in caught)
    notes = [f"{path}: {sentence}" for sentence in list(said)[:MAX_WARNINGS]]
    if counts["repaired"]:
        notes.append(f"{path}: {counts['repaired']} geometries were invalid, and were repaired")
    if counts["lost"]:
        notes.append(f"{path}: {counts['lost']} geometries were invalid beyond repair, and were left out")
    return Vectors(
        np.concatenate([part.geometries for part in parts]),
        {name: np.concatenate([part.fields[name] for part in parts]) for name in wanted},
        notes,
        known,
    )


@dataclass(frozen=True)
class _GdalLayer:
    """One layer of a file that GDAL reads."""

    name: str
    crs: pyproj.CRS | None
    extent: Box | None
    fields: tuple[str, ...]
    path: Path

    def read(self, box: Box, wanted: set[str]) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """Return what a box touches: geometries as WKB, and all columns."""
        meta, _, stored, columns = pyogrio.raw.read(self.path, layer=self.name, bbox=box)
        return stored, dict(zip(meta["fields"], columns, strict=True))


def _gdal_layers(path: Path) -> Iterator[_GdalLayer]:
    for name, kind in pyogrio.list_layers(path):
        if kind is None or "Point" in str(kind):
            continue
        about = pyogrio.read_info(path, layer=str(name))
        crs = None if about["crs"] is None else pyproj.CRS(about["crs"])
        yield _GdalLayer(str(name), crs, about.get("total_bounds"), tuple(about["fields"]), path)


def _read_layer(
    path: Path,
    layer: _GdalLayer | ParquetLayer,
    wanted: set[str],
    grid: GeoGrid,
    margin: float,
    counts: Counter[str],
) -> Iterator[Vectors]:
    """Yield the vectors in each box that covers the grid; `counts` gets how many were repaired and lost."""
    if layer.crs is None:
        raise DataError(f"{path} does not name its CRS", hint="convert it to a GeoPackage with one")
    crs, grid_crs = layer.crs, grid.proj_crs
    assert grid_crs is not None
    try:
        to_grid = pyproj.Transformer.from_crs(crs, grid_crs, always_xy=True)
    except pyproj.exceptions.ProjError:
        raise DataError(
            f"{path} is in {crs.name}, which has no relation to the orthophoto's {grid_crs.name}"
        ) from None
    to_plane = metre_plane(grid)
    for box in _boxes(grid, crs, margin, layer.extent):
        stored, values = layer.read(box, wanted)
        geometries = shapely.from_wkb(stored, on_invalid="fix")
        missing = shapely.is_missing(geometries) & np.array([wkb is not None for wkb in stored], bool)
        invalid = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
        geometries[invalid] = shapely.make_valid(geometries[invalid])
        geometries = shapely.clip_by_rect(geometries, *box)
        kept = ~shapely.is_missing(geometries) & ~shapely.is_empty(geometries)
        geometries = geometries[kept]
        placed = shapely.transform(geometries, to_grid.transform, interleaved=False)
        placed = shapely.transform(placed, lambda *xy: to_plane @ xy, interleaved=False)
        finite = np.isfinite(shapely.bounds(placed)).all(axis=1)
        values[LAYER] = np.full(len(stored), layer.name, object)
        fields = {name: _column(name, values, len(stored))[kept][finite] for name in wanted}
        counts.update(repaired=int(invalid.sum()), lost=int(missing.sum() + (~finite).sum()))
        yield Vectors(placed[finite], fields)


def _boxes(
    grid: GeoGrid, crs: pyproj.CRS, margin: float, extent: tuple[float, float, float, float] | None
) -> list[Box]:
    """Return the boxes of a file's CRS that cover a grid: two across 180 degrees."""
    metres = grid.metres()
    assert metres is not None
    column, row = (1 + margin / side for side in metres)
    corners = [
        grid.transform @ (x, y) for x in (-column, grid.width + column) for y in (-row, grid.height + row)
    ]
    xs, ys = zip(*corners, strict=True)
    pixel = Affine.translation(min(xs), max(ys)) @ Affine.scale(max(xs) - min(xs), min(ys) - max(ys))
    wide = GeoGrid(grid.crs, pixel, 1, 1)
    if crs.is_geographic and grid.on_earth:
        west, south, east, north = wide.lonlat_box("the orthophoto")
        boxes = [(west, south, east, north)]
        if west > east:
            boxes = [(west, south, 180.0, north), (-180.0, south, east, north)]
        if extent is not None and np.isfinite(extent).all() and extent[2] > 180:  # it counts from 0 to 360
            boxes += [(left + 360, bottom, right + 360, top) for left, bottom, right, top in boxes]
        return boxes
    assert grid.proj_crs is not None
    box = moved_box(wide.bounds(), grid.proj_crs, crs)
    if box is None:
        raise DataError(f"the orthophoto lies outside of the area of the vectors' CRS ({crs.name})")
    return [box]


def _column(name: str, values: dict[str, NDArray[Any]], count: int) -> NDArray[Any]:
    """Return a field's values as text; OSM keeps the rarer ones together in `other_tags`."""
    if name in values:
        return np.array([_text(value) for value in values[name]] or [None] * count, object)[:count]
    others = values.get("other_tags")
    if others is None:
        return np.full(count, None, object)
    return np.array([_other_tags(text).get(name) if text else None for text in others], object)


def _text(value: Any) -> str | None:
    """Return a value as text; whole numbers in a field with nulls come as floats."""
    if value is None or value != value:
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, (float, np.floating)) and value == int(value) else str(value)


def _other_tags(text: str) -> dict[str, str]:
    """Read GDAL's column of further OSM tags: HSTORE by default, JSON if it is set up so."""
    if text.startswith("{"):
        return {key: str(value) for key, value in json.loads(text).items()}
    return dict(_OTHER_TAGS.findall(text))
