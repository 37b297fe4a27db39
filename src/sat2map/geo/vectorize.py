"""Owns turning a map raster into vectors: polygons of its classes, centre lines of its roads."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes, sieve
from rasterio.windows import Window

from sat2map.errors import ImageError, OutputError, SettingsError, nearest
from sat2map.files import atomic_path, locks
from sat2map.geo.centre_lines import centre_lines as trace
from sat2map.geo.gdal import FAILURES, gdal_env, reason
from sat2map.geo.grid import GeoGrid
from sat2map.geo.layers import NODATA
from sat2map.geo.write import tags_of
from sat2map.images.palette import Palette

DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".json": "GeoJSON", ".fgb": "FlatGeobuf"}
_EARTH = pyproj.Geod(ellps="WGS84")


@dataclass
class VectorResult:
    """Features written, by layer, and what a person should know."""

    features: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Features:
    """Features of one class, in the raster's CRS."""

    layer: str
    map_class: str
    geometries: NDArray[Any]
    sizes: NDArray[np.float64]
    lines: bool


@locks("output")
def vectorize_raster(
    raster: Path,
    output: Path,
    *,
    palette: str | None = None,
    centre_lines: Sequence[str] = ("road", "highway"),
    tolerance: float = 1.0,
    min_area: float = 20.0,
    overwrite: bool = False,
) -> VectorResult:
    """Write polygons of each class, and centre lines of some.

    Neighbours' common borders are simplified as one, so that no gaps open between classes. Classes are
    those of the model's class head where the map names a class raster beside it, else of the nearest colour.

    Args:
        raster: A map, or a class raster.
        output: .gpkg has a layer a class; .geojson (in longitude and latitude) and .fgb hold all in one, told
            apart by the field `class`.
        palette: Name or file of the classes; None: what the raster's tags say, else `maps`.
        centre_lines: Names of classes that get centre lines too; unknown ones are passed over.
        tolerance: How far a simplified outline may stray (px).
        min_area: Smaller patches join their largest neighbour (px).
        overwrite: Whether a file may be replaced.

    Raises:
        ImageError: The raster cannot be read, or shows no map.
        SettingsError: A number is out of range, or no such palette.
        OutputError: The output exists, is of no known kind, or cannot be written.
    """
    driver = DRIVERS.get(output.suffix.lower())
    if driver is None:
        raise OutputError(f"{output} has no vector suffix, {nearest(output.suffix, DRIVERS)}")
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists: give --output another name, or add --overwrite")
    if tolerance < 0 or min_area < 0:
        raise SettingsError(f"tolerance {tolerance:g} and min_area {min_area:g} must not be negative")
    result = VectorResult()
    with gdal_env():
        classes, names, grid = _read_classes(raster, palette, result.notes)
        if min_area > 1:
            classes = np.where(
                classes == NODATA, classes, sieve(classes, int(np.ceil(min_area)), connectivity=4)
            )
        features = list(_polygons(classes, names, grid, tolerance))
        for name in centre_lines:
            if name in names:
                features.append(_lines(classes == names.index(name), name, grid, tolerance))
    if grid.crs is None:
        result.notes.append(f"{raster} has no CRS: sizes are in pixels")
    _write(output, driver, [f for f in features if len(f.geometries)], grid)
    result.features = {f.layer: len(f.geometries) for f in features if len(f.geometries)}
    return result


def _read_classes(
    raster: Path, palette: str | None, notes: list[str]
) -> tuple[NDArray[np.uint8], tuple[str, ...], GeoGrid]:
    """Return class numbers, uint8 (h, w), NODATA where there is nothing, with the classes' names."""
    if not raster.exists():
        raise ImageError(f"{raster} does not exist")
    try:
        tags = tags_of(raster)
        beside = raster.with_name(tags["CLASSES"]) if tags.get("CLASSES") else None
        if tags.get("LAYER") == "map" and palette is None and beside is not None:
            if beside.exists():
                notes.append(f"classes are those of the class head, in {beside}")
                raster, tags = beside, tags_of(beside)
            else:
                notes.append(
                    f"{beside}, the class raster, is not there: classes are those of the nearest colour"
                )
        if palette is None and "PALETTE" in tags:
            known = Palette.from_json(tags["PALETTE"])
        else:
            known = Palette.load(palette or "maps")
        with rasterio.open(raster) as dataset:
            grid = GeoGrid(dataset.crs or None, dataset.transform, dataset.height, dataset.width)
            if tags.get("LAYER") == "classes":
                return dataset.read(1), known.names, grid
            if dataset.count < 3 or dataset.dtypes[0] != "uint8":
                raise ImageError(f"{raster} is no map: it needs three bands of 8 bits, or be a class raster")
            return _classify(dataset, known), known.names, grid
    except FAILURES as error:
        raise ImageError(f"{raster} cannot be read ({reason(error)})") from None


def _classify(dataset: rasterio.DatasetReader, palette: Palette) -> NDArray[np.uint8]:
    classes = np.empty(dataset.shape, np.uint8)
    for top in range(0, dataset.height, 256):
        window = Window(0, top, dataset.width, min(256, dataset.height - top))
        rgb = np.moveaxis(dataset.read((1, 2, 3), window=window), 0, -1)
        there = dataset.dataset_mask(window=window) > 0
        classes[top : top + 256] = np.where(there, palette.classify(rgb), NODATA)
    return classes


def _polygons(
    classes: NDArray[np.uint8], names: tuple[str, ...], grid: GeoGrid, tolerance: float
) -> list[Features]:
    outlines, numbers = [], []
    for shape, number in shapes(classes, mask=classes != NODATA, connectivity=4):
        rings = shape["coordinates"]
        outlines.append(shapely.Polygon(rings[0], rings[1:]))
        numbers.append(int(number))
    if not outlines:
        raise ImageError("the map is all nodata: there is nothing to vectorize")
    simple = shapely.coverage_simplify(np.array(outlines, object), tolerance)
    placed = _place(simple, grid)
    of_class = np.array(numbers)
    found = []
    for number, name in enumerate(names):
        polygons = placed[of_class == number]
        found.append(Features(name, name, polygons, _sizes(polygons, grid, lines=False), lines=False))
    return found


def _lines(mask: NDArray[np.bool_], name: str, grid: GeoGrid, tolerance: float) -> Features:
    width = (
        2 * mask.sum() / max(1, (np.diff(np.pad(mask, 1).astype(np.int8), axis=1) != 0).sum())
    )  # px, roughly
    lines = _place(trace(mask, shortest=2 * float(width), tolerance=tolerance), grid)
    return Features(f"{name}_centre", name, lines, _sizes(lines, grid, lines=True), lines=True)


def _place(geometries: NDArray[Any], grid: GeoGrid) -> NDArray[Any]:
    """Move geometries from pixels to the raster's coordinates."""
    t = grid.transform

    def move(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(
            [t.a * xy[:, 0] + t.b * xy[:, 1] + t.c, t.d * xy[:, 0] + t.e * xy[:, 1] + t.f], axis=1
        )

    return np.asarray(shapely.transform(geometries, move))


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
    return np.array(
        [abs(_EARTH.geometry_area_perimeter(polygon)[0]) for polygon in shapely.normalize(degrees)]
    )


def _write(output: Path, driver: str, features: list[Features], grid: GeoGrid) -> None:
    crs = grid.crs.to_wkt() if grid.crs is not None else None
    unit = ("px", "px") if grid.crs is None else ("m2", "m")
    with atomic_path(output) as temporary:
        try:
            if driver == "GPKG":
                for number, part in enumerate(features):
                    column = f"length_{unit[1]}" if part.lines else f"area_{unit[0]}"
                    columns = {"class": _names(part), column: part.sizes}
                    kind = "LineString" if part.lines else "Polygon"
                    _write_layer(
                        temporary, driver, part.geometries, columns, crs, kind, part.layer, append=number > 0
                    )
            else:
                nan = [np.full(len(part.sizes), np.nan) for part in features]
                columns = {
                    "class": np.concatenate([_names(part) for part in features]),
                    f"area_{unit[0]}": np.concatenate(
                        [n if p.lines else p.sizes for p, n in zip(features, nan, strict=True)]
                    ),
                    f"length_{unit[1]}": np.concatenate(
                        [p.sizes if p.lines else n for p, n in zip(features, nan, strict=True)]
                    ),
                }
                geometries = np.concatenate([part.geometries for part in features])
                _write_layer(temporary, driver, geometries, columns, crs, "Unknown", "map", append=False)
        except (
            pyogrio.errors.DataSourceError,
            pyogrio.errors.DataLayerError,
            pyogrio.errors.FieldError,
        ) as error:
            raise OutputError(f"{output} cannot be written ({' '.join(str(error).split())})") from None


def _names(part: Features) -> NDArray[Any]:
    return np.full(len(part.geometries), part.map_class, object)


def _write_layer(
    path: Path,
    driver: str,
    geometries: NDArray[Any],
    columns: dict[str, NDArray[Any]],
    crs: str | None,
    kind: str,
    layer: str,
    *,
    append: bool,
) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")  # told in our own words
        pyogrio.raw.write(
            path,
            shapely.to_wkb(geometries),
            list(columns.values()),
            list(columns),
            layer=layer,
            driver=driver,
            geometry_type=kind,
            crs=crs,
            append=append,
            layer_options={"RFC7946": "YES"} if driver == "GeoJSON" and crs else None,  # longitude, latitude
        )
