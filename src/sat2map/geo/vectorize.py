"""Turning a map raster into vectors: polygons of its classes, and the graph of its roads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize, sieve

from sat2map.errors import ImageError, SettingsError
from sat2map.files import locks, refuse_existing
from sat2map.geo.class_map import ClassMap, read_class_map
from sat2map.geo.class_polygons import class_polygons
from sat2map.geo.gdal import FAILURES, gdal_env, reason
from sat2map.geo.grid import GeoGrid
from sat2map.geo.layers import NODATA
from sat2map.geo.vector_output import VectorLayer, check_suffix, write_vectors

# In pixels at which the model ran: finer detail than this is none of the ground's.
TOLERANCE = 1.0
MIN_AREA = 20.0
MIN_LENGTH = 10.0
BUILDINGS = ("building",)  # classes whose polygons get right angles
_EARTH = pyproj.Geod(ellps="WGS84")


@dataclass
class VectorResult:
    """Features written, by layer, and what a user should know."""

    features: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@locks("output")
def vectorize_raster(
    raster: Path,
    output: Path,
    *,
    palette: str | None = None,
    centre_lines: Sequence[str] = ("road", "highway"),
    tolerance: float | None = None,
    min_area: float | None = None,
    min_length: float | None = None,
    confidence: Path | None = None,
    overwrite: bool = False,
) -> VectorResult:
    """Write polygons of each class, and the centre lines of some as one graph.

    Polygons cover the map once, without gaps or overlaps; buildings get right angles along their own
    direction. Classes are those of the class raster beside the map if there is one, else of the nearest
    colour. Sizes and thresholds are in metres, or in pixels where the map has no CRS.

    Args:
        raster: A map, or a class raster.
        output: The suffix decides the format: .gpkg has a layer per class; .parquet, .fgb, .geojson (in
            longitude and latitude), .shp and .pmtiles (vector tiles) tell them apart by the field `class`.
        palette: Name or file of the classes; None: what the raster's tags say, else `maps`.
        centre_lines: Names of classes that get centre lines too; unknown ones are passed over.
        tolerance: How far a simplified outline may lie from the drawn one (m); None: a pixel that the model
            saw; 0: outlines of pixels.
        min_area: Smaller patches join their largest neighbour (m²); None: 20 such pixels.
        min_length: Shorter roads that meet no other are left out (m); None: 10 such pixels.
        confidence: Raster of confidence in percent on the same grid; None: the one that lies beside the map.
        overwrite: Whether a file may be replaced.

    Raises:
        ImageError: The raster cannot be read, or shows no map.
        SettingsError: A number is out of range, there is no such palette, or the format needs a CRS.
        OutputError: The output exists, is of no known format, or cannot be written.
    """
    check_suffix(output)
    refuse_existing(output, overwrite=overwrite)
    for name, number in (("tolerance", tolerance), ("min_area", min_area), ("min_length", min_length)):
        if number is not None and not 0 <= number < float("inf"):
            raise SettingsError(f"{name} is {number:g}, but must not be negative", setting=name)
    result = VectorResult()
    with gdal_env():
        found = read_class_map(raster, palette, result.notes)
        check_suffix(output, found.grid)
        model = found.model_pixel
        limit = {
            "tolerance": TOLERANCE * model if tolerance is None else tolerance / found.pixel,
            "min_area": MIN_AREA * model**2 if min_area is None else min_area / found.pixel**2,
            "min_length": MIN_LENGTH * model if min_length is None else min_length / found.pixel,
        }
        if limit["min_area"] > 1:
            merged = sieve(found.classes, int(np.ceil(limit["min_area"])), connectivity=4)
            found.classes[:] = np.where(found.classes == NODATA, NODATA, merged)
        sure = _read_confidence(raster, found, confidence, result.notes)
        # Neither needs the other, and most of both happens in libraries that let other threads run.
        with ThreadPoolExecutor(1, thread_name_prefix="roads") as pool:
            lines = pool.submit(_lines, found, centre_lines, limit, sure)
            pool.submit(import_module, "pyogrio")  # slow where pandas is installed; writing needs it
            polygons = _polygons(found, limit, sure)
            layers = [*polygons, *lines.result()]
    if found.grid.crs is None:
        result.notes.append(f"{raster} has no CRS: sizes are in pixels")
    for layer in layers:
        layer.columns.update(_provenance(raster, found.tags, len(layer.geometries)))
    write_vectors(output, layers, found.grid)
    result.features = {layer.name: len(layer.geometries) for layer in layers}
    return result


def _read_confidence(
    raster: Path, found: ClassMap, path: Path | None, notes: list[str]
) -> NDArray[np.float32] | None:
    """Return the confidence of each pixel in percent, float32 (h, w), NaN where it is unknown; or None."""
    if path is None and found.tags.get("CONFIDENCE"):
        path = raster.with_name(found.tags["CONFIDENCE"])
        if not path.exists():
            notes.append(f"{path}, the confidence raster, does not exist: features have no confidence")
            return None
    if path is None:
        return None
    try:
        with rasterio.open(path) as dataset:
            if dataset.shape != found.classes.shape:
                raise ImageError(f"{path} is {dataset.width}×{dataset.height} px, unlike the map")
            values: NDArray[np.float32] = dataset.read(1).astype(np.float32)
            values[dataset.dataset_mask() == 0] = np.nan
    except FAILURES as error:
        raise ImageError(f"{path} cannot be read ({reason(error)})") from None
    return values


def _polygons(
    found: ClassMap, limit: dict[str, float], sure: NDArray[np.float32] | None
) -> list[VectorLayer]:
    names = found.palette.names
    buildings = next((names.index(name) for name in BUILDINGS if name in names), None)
    polygons, numbers = class_polygons(
        found.classes, buildings, tolerance=limit["tolerance"], min_area=limit["min_area"]
    )
    layers = []
    for number, map_class in enumerate(found.palette.classes):
        drawn = polygons[numbers == number]
        if len(drawn):
            columns = {
                _unit("area", found.grid): _sizes(
                    placed := _place(drawn, found.grid), found.grid, lines=False
                )
            }
            columns.update(_confidence(drawn, sure))
            layers.append(_layer(map_class.name, found, number, placed, columns, lines=False))
    return layers


def _lines(
    found: ClassMap, wanted: Sequence[str], limit: dict[str, float], sure: NDArray[np.float32] | None
) -> list[VectorLayer]:
    numbers = [number for number, name in enumerate(found.palette.names) if name in wanted]
    is_road = np.isin(np.arange(256), numbers)
    mask = is_road[found.classes]
    if not mask.any():
        return []
    from sat2map.geo.road_graph import road_graph  # brings scikit-image, in this thread

    graph = road_graph(mask, found.classes, shortest=limit["min_length"], tolerance=limit["tolerance"])
    classes = np.array([_likeliest_class(line, found.classes, numbers) for line in graph.lines], int)
    layers = []
    for number in numbers:
        chosen = classes == number
        if chosen.any():
            drawn = graph.lines[chosen]
            placed = _place(drawn, found.grid)
            columns: dict[str, NDArray[Any]] = {
                _unit("length", found.grid): _sizes(placed, found.grid, lines=True),
                _unit("width", found.grid): graph.widths[chosen] * found.pixel,
                "from_node": graph.nodes[chosen, 0],
                "to_node": graph.nodes[chosen, 1],
                **_confidence(drawn, sure),
            }
            name = f"{found.palette.names[number]}_centre"
            layers.append(_layer(name, found, number, placed, columns, lines=True))
    return layers


def _likeliest_class(line: Any, classes: NDArray[np.uint8], numbers: Sequence[int]) -> int:
    points = shapely.get_coordinates(shapely.segmentize(line, 1.0)).astype(int)
    rows = np.clip(points[:, 1], 0, classes.shape[0] - 1)
    columns = np.clip(points[:, 0], 0, classes.shape[1] - 1)
    counts = np.bincount(classes[rows, columns], minlength=256)[list(numbers)]
    return int(numbers[int(counts.argmax())])


def _layer(
    name: str,
    found: ClassMap,
    number: int,
    geometries: NDArray[Any],
    columns: dict[str, NDArray[Any]],
    *,
    lines: bool,
) -> VectorLayer:
    map_class = found.palette.classes[number]
    classes = {"class": np.full(len(geometries), map_class.name, object)}
    return VectorLayer(name, map_class.name, map_class.colours[0], geometries, {**classes, **columns}, lines)


def _confidence(drawn: NDArray[Any], sure: NDArray[np.float32] | None) -> dict[str, NDArray[Any]]:
    """Return the mean confidence below each geometry in percent, if it is known."""
    if sure is None:
        return {}
    below = rasterize(
        ((shape, number) for number, shape in enumerate(drawn, 1)),
        out_shape=sure.shape, dtype="uint32", all_touched=True,
    )  # fmt: skip
    known = np.isfinite(sure)
    sums = np.bincount(below[known], weights=sure[known], minlength=len(drawn) + 1)
    counts = np.bincount(below[known], minlength=len(drawn) + 1)
    with np.errstate(invalid="ignore"):
        return {"confidence": np.round(sums / counts, 1)[1:]}


def _provenance(raster: Path, tags: dict[str, str], count: int) -> dict[str, NDArray[Any]]:
    """Return the columns that say how features were made."""
    made = datetime.fromtimestamp(raster.stat().st_mtime, tz=timezone.utc).date().isoformat()
    values = {
        "model": tags.get("MODEL"),
        "model_sha256": tags.get("MODEL_SHA256"),
        "source": tags.get("SOURCE", raster.name),
        "date": made,
    }
    return {name: np.full(count, value, object) for name, value in values.items() if value}


def _unit(name: str, grid: GeoGrid) -> str:
    return f"{name}_px" if grid.crs is None else "area_m2" if name == "area" else f"{name}_m"


def _place(geometries: NDArray[Any], grid: GeoGrid) -> NDArray[Any]:
    """Move geometries from pixels to the raster's coordinates."""
    return np.asarray(shapely.transform(geometries, lambda *xy: grid.transform @ xy, interleaved=False))


def _sizes(geometries: NDArray[Any], grid: GeoGrid, *, lines: bool) -> NDArray[np.float64]:
    """Return areas (m²) or lengths (m) on the ellipsoid; in pixels where there is no CRS."""
    if grid.crs is None:
        pixel = abs(grid.transform.determinant)
        size = shapely.length(geometries) / pixel**0.5 if lines else shapely.area(geometries) / pixel
        return np.asarray(size, np.float64)
    to_degrees = pyproj.Transformer.from_crs(pyproj.CRS(grid.crs.to_wkt()), "EPSG:4326", always_xy=True)
    degrees = shapely.transform(geometries, to_degrees.transform, interleaved=False)
    if lines:
        return np.array([_EARTH.geometry_length(line) for line in degrees])
    rings, polygon = shapely.get_rings(shapely.normalize(degrees), return_index=True)
    # Of normalised polygons holes turn the other way round, so that their areas have the other sign.
    areas = [_EARTH.polygon_area_perimeter(*shapely.get_coordinates(ring).T)[0] for ring in rings]
    return np.abs(np.bincount(polygon, weights=areas, minlength=len(degrees)))
