"""Writing vectors: GeoPackage, GeoParquet, FlatGeobuf, GeoJSON, Shapefile and vector tiles, with colours."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from sat2map.errors import OutputError, SettingsError, nearest
from sat2map.extras import require
from sat2map.files import atomic_path, atomic_write_text
from sat2map.geo.grid import GeoGrid
from sat2map.geo.qgis_styles import TILE_LAYER, StyledLayer, add_layer_styles, categorised_qml, maplibre_style

DRIVERS: Final = {
    ".gpkg": "GPKG",
    ".parquet": "Parquet",
    ".geoparquet": "Parquet",
    ".fgb": "FlatGeobuf",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".shp": "ESRI Shapefile",
    ".pmtiles": "PMTiles",
}
VECTOR_ZOOMS: Final = (10, 16)  # at 16, a tile of 4,096 units resolves 15 cm
_SHORT = {"model_sha256": "model_sha", "confidence": "confid"}  # Shapefiles cut names after 10 characters


@dataclass(frozen=True)
class VectorLayer:
    """Features of one class: shapely lines or polygons in the grid's CRS, and columns of their attributes."""

    name: str
    map_class: str
    colour: tuple[int, int, int]
    geometries: NDArray[Any]
    columns: dict[str, NDArray[Any]]
    lines: bool


def check_suffix(output: Path, grid: GeoGrid | None = None) -> str:
    """Return the driver of an output; `grid` is where the features lie, once it is known.

    Raises:
        OutputError: The suffix is unknown.
        SettingsError: The format needs a CRS, and there is none.
        MissingExtraError: GeoParquet needs pyarrow.
    """
    driver = DRIVERS.get(output.suffix.lower())
    if driver is None:
        raise OutputError(
            f"{output} has no vector suffix", hint=nearest(output.suffix, DRIVERS), setting="output"
        )
    if driver == "Parquet":
        require("pyarrow", f"GeoParquet ({output})", "geo")
    if driver in ("GeoJSON", "PMTiles") and grid is not None and not grid.on_earth:
        raise SettingsError(
            f"{output.suffix} is in longitude and latitude, and the map has no CRS that leads there",
            hint="give it one, or write a .gpkg",
            setting="crs",
        )
    return driver


def write_vectors(output: Path, layers: Sequence[VectorLayer], grid: GeoGrid) -> None:
    """Write layers to one file: a GeoPackage keeps them apart, other formats by the field `class`.

    A Shapefile holds one type of geometry, so lines go into a second one beside it, `NAME_lines.shp`.

    Raises:
        OutputError: The file cannot be written.
    """
    from pyogrio import errors  # not at the top: pyogrio brings pandas where that is installed

    driver = check_suffix(output, grid)
    crs = grid.crs.to_wkt() if grid.crs is not None else None
    try:
        if driver == "GPKG":
            with atomic_path(output) as temporary:
                for number, layer in enumerate(layers):
                    _write(temporary, driver, [layer], crs, layer.name, append=number > 0)
                add_layer_styles(temporary, layers)
        elif driver == "PMTiles":
            with atomic_path(output) as temporary:
                _write_tiles(temporary, layers, crs)
            drawn = [StyledLayer(one.name, one.map_class, one.colour, one.lines) for one in layers]
            style = maplibre_style(output.stem, {"url": f"pmtiles://{output.name}"}, drawn)
            atomic_write_text(output.with_suffix(".style.json"), json.dumps(style, indent=1) + "\n")
        elif driver == "ESRI Shapefile":
            _write_shapefiles(output, layers, crs)
        else:
            with atomic_path(output) as temporary:
                if driver == "Parquet":
                    _write_parquet(temporary, layers, grid)
                else:
                    _write(temporary, driver, layers, crs, "map")
        if driver not in ("GPKG", "PMTiles"):
            lines = any(layer.lines for layer in layers)
            atomic_write_text(output.with_suffix(".qml"), categorised_qml(layers, lines=lines))
    except (errors.DataSourceError, errors.DataLayerError, errors.FieldError) as error:
        raise OutputError(f"{output} cannot be written ({' '.join(str(error).split())})") from None


def _table(layers: Sequence[VectorLayer]) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Return all layers' features and columns together; what a layer lacks is null."""
    names = dict.fromkeys(name for layer in layers for name in layer.columns)
    columns = {}
    for name in names:
        known = next(layer.columns[name] for layer in layers if name in layer.columns)
        empty: Any = None if known.dtype == object else np.nan
        parts = [
            layer.columns.get(name, np.full(len(layer.geometries), empty, object if empty is None else float))
            for layer in layers
        ]
        columns[name] = np.concatenate(parts)
    return np.concatenate([layer.geometries for layer in layers]), columns


def _write(
    path: Path,
    driver: str,
    layers: Sequence[VectorLayer],
    crs: str | None,
    name: str,
    *,
    append: bool = False,
) -> None:
    import pyogrio

    geometries, columns = _table(layers)
    kinds = {layer.lines for layer in layers}
    kind = "Unknown" if len(kinds) > 1 else "LineString" if kinds == {True} else "Polygon"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")  # a note says so
        pyogrio.raw.write(
            path,
            shapely.to_wkb(geometries),
            list(columns.values()),
            list(columns),
            layer=name,
            driver=driver,
            geometry_type=kind,
            crs=crs,
            append=append,
            layer_options={"RFC7946": "YES"} if driver == "GeoJSON" else None,  # longitude, latitude
        )


def _write_shapefiles(output: Path, layers: Sequence[VectorLayer], crs: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=".shapefile.") as folder:
        for lines, stem in ((False, output.stem), (True, f"{output.stem}_lines")):
            chosen = [layer for layer in layers if layer.lines == lines]
            if chosen:
                short = [
                    VectorLayer(
                        layer.name, layer.map_class, layer.colour, layer.geometries,
                        {_SHORT.get(name, name): values for name, values in layer.columns.items()}, lines,
                    )
                    for layer in chosen
                ]  # fmt: skip
                _write(Path(folder) / f"{stem}.shp", "ESRI Shapefile", short, crs, stem)
        for file in sorted(Path(folder).iterdir()):
            shutil.move(file, output.with_name(file.name))


def _write_parquet(path: Path, layers: Sequence[VectorLayer], grid: GeoGrid) -> None:
    """Write GeoParquet 1.1: https://geoparquet.org/releases/v1.1.0."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    geometries, columns = _table(layers)
    boxes = shapely.bounds(geometries)
    covering = pa.StructArray.from_arrays(
        [pa.array(boxes[:, i]) for i in range(4)], names=["xmin", "ymin", "xmax", "ymax"]
    )
    arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    table = pa.table(
        {**arrays, "bbox": covering, "geometry": pa.array(shapely.to_wkb(geometries), pa.binary())}
    )
    kinds = sorted({"LineString" if layer.lines else "Polygon" for layer in layers})
    column = {
        "encoding": "WKB",
        "geometry_types": kinds,
        "crs": None if grid.proj_crs is None else grid.proj_crs.to_json_dict(),
        "bbox": [float(v) for v in (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))],
        "covering": {"bbox": {edge: ["bbox", edge] for edge in ("xmin", "ymin", "xmax", "ymax")}},
    }
    about = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    metadata = {**(table.schema.metadata or {}), b"geo": json.dumps(about).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")


def _write_tiles(path: Path, layers: Sequence[VectorLayer], crs: str | None) -> None:
    """Write vector tiles of one layer; the field `class` tells classes apart."""
    import pyogrio

    assert crs is not None
    to_mercator = pyproj.Transformer.from_crs(pyproj.CRS(crs), "EPSG:3857", always_xy=True)
    geometries, columns = _table(layers)
    moved = shapely.transform(geometries, to_mercator.transform, interleaved=False)
    zooms = {"MINZOOM": VECTOR_ZOOMS[0], "MAXZOOM": VECTOR_ZOOMS[1]}
    pyogrio.raw.write(
        path, shapely.to_wkb(moved), list(columns.values()), list(columns), layer=TILE_LAYER, crs="EPSG:3857",
        driver="PMTiles", geometry_type="Unknown", dataset_options={**zooms, "NAME": path.stem},
    )  # fmt: skip
