"""Vectors from GeoParquet, which GDAL in pyogrio's wheels does not read (https://geoparquet.org).

A folder is taken for Overture's layout: files below `theme=…/type=…/`, each type a layer, and a column `bbox`
by which only what lies in a box is read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
from numpy.typing import NDArray

from sat2map.errors import DataError, reason
from sat2map.geo.crs import LONLAT, Box

SUFFIXES: Final = (".parquet", ".geoparquet")
_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")


def is_parquet(path: Path) -> bool:
    """Whether vectors are read here: a file by its suffix, or a folder that holds such files."""
    if path.is_dir():
        return next(path.rglob("*.parquet"), None) is not None
    return path.suffix.lower() in SUFFIXES


@dataclass(frozen=True)
class ParquetLayer:
    """One GeoParquet file.

    Attributes:
        name: Its type in Overture's layout, else its name without suffix.
        crs: Its CRS; None where it is said to be unknown.
        extent: Left, bottom, right, top of all of it, if the file says so.
        fields: Names of the columns.
    """

    name: str
    crs: pyproj.CRS | None
    extent: Box | None
    fields: tuple[str, ...]
    _path: Path
    _geometry: str
    _sides: tuple[tuple[str, ...], ...] | None  # names of the columns with the box of each feature

    def read(self, box: Box, wanted: set[str]) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """Return what a box touches: geometries as WKB, and those of the wanted columns that there are."""
        import pyarrow.compute as pc
        import pyarrow.dataset as ds

        dataset = ds.dataset(self._path)
        within = None
        if self._sides is not None:
            xmin, ymin, xmax, ymax = (pc.field(*side) for side in self._sides)
            left, bottom, right, top = box
            within = (xmin <= right) & (xmax >= left) & (ymin <= top) & (ymax >= bottom)
        names = [name for name in self.fields if name in wanted]
        table = dataset.to_table(columns=[self._geometry, *names], filter=within)
        columns = {name: np.array(table[name].to_pylist(), object) for name in names}
        return np.array(table[self._geometry].to_pylist(), object), columns


def parquet_layers(path: Path) -> list[ParquetLayer]:
    """Return the layers of a GeoParquet file, or of a folder of such files.

    Raises:
        DataError: A file is damaged, is no GeoParquet, or keeps its geometries as something else than WKB.
    """
    return [_layer(file) for file in (sorted(path.rglob("*.parquet")) if path.is_dir() else [path])]


def _layer(path: Path) -> ParquetLayer:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        about = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
        geometry = about["primary_column"]
        column = about["columns"][geometry]
        encoding = column["encoding"]
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({reason(error)})") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} is no GeoParquet: it does not say where its geometries are",
            hint="write it with GeoPandas, DuckDB or GDAL",
        ) from None
    if encoding != "WKB":
        raise DataError(f"{path} keeps geometries as {encoding}", hint="write it anew with geometries as WKB")
    stated = column.get("crs", LONLAT)
    kind = next((part[5:] for part in reversed(path.parts) if part.startswith("type=")), path.stem)
    covering = (column.get("covering") or {}).get("bbox") or {}
    sides = tuple(tuple(covering[side]) for side in _SIDES) if covering.keys() >= set(_SIDES) else None
    if sides is None and "bbox" in schema.names and pyarrow.types.is_struct(schema.field("bbox").type):
        names = {field.name for field in schema.field("bbox").type}
        sides = tuple(("bbox", side) for side in _SIDES) if names >= set(_SIDES) else None
    extent = column.get("bbox")
    box = (extent[0], extent[1], extent[-2], extent[-1]) if extent and len(extent) == 4 else None
    fields = tuple(name for name in schema.names if name != geometry)
    crs = None if stated is None else pyproj.CRS(stated)
    return ParquetLayer(kind, crs, box, fields, path, geometry, sides)
