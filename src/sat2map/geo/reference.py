"""A reference, raster or vectors, on the grid of the map that is compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
from numpy.typing import NDArray

from sat2map.errors import DataError, SettingsError, nearest
from sat2map.geo.class_map import ClassMap
from sat2map.geo.gdal import FAILURES, reason
from sat2map.geo.reference_raster import MAX_PIXELS, read_reference_raster
from sat2map.geo.reference_vectors import draw_polygons, draw_style


@dataclass(frozen=True)
class Reference:
    """What is true on a map's grid.

    Attributes:
        classes: Class numbers of the map's palette, uint8 (h, w), `NODATA` where the truth is unknown; of one
            class alone: 1 where it is, else 0.
        objects: Numbers of the objects of vectors, int32 (h, w), 0 where there is none; None: unknown.
        one_class: The class, where the reference shows only one.
    """

    classes: NDArray[np.uint8]
    objects: NDArray[np.int32] | None = None
    one_class: str | None = None


@dataclass(frozen=True)
class ReferenceOptions:
    """How a reference is read.

    Attributes:
        map_class: The one class that it shows; None: it shows all.
        class_column: The vectors' column of class names; None: `class`, where there is one.
        style: A style that draws the vectors; `web`, or a TOML file.
        palette: Palette of a reference that is drawn in colours; None: what its tags say, else the map's.
    """

    map_class: str | None = None
    class_column: str | None = None
    style: str | None = None
    palette: str | None = None


def read_reference(path: Path, found: ClassMap, options: ReferenceOptions, notes: list[str]) -> Reference:
    """Read a reference onto the grid of a map.

    Where both have a CRS, the reference is reprojected: to the nearest pixel, or to the most frequent class
    where its pixels are smaller than the map's. A reference without a CRS must have the map's size.

    Args:
        path: A class raster, a map in colours, a mask of one class, or vectors.
        found: The map.
        options: How to read it.
        notes: Gets a sentence for each thing that a user should know.

    Raises:
        DataError: It cannot be read, lies in another place, or does not say what it shows.
        SettingsError: The map has no such class, or there is no such style, column or palette.
    """
    if found.classes.size > MAX_PIXELS:
        raise DataError(
            f"the map has {found.classes.size / 1e6:,.0f} million px, more than the {MAX_PIXELS / 1e6:,.0f} "
            "million that are compared at once",
            hint="compare a part of it",
        )
    if options.map_class is not None:
        found.palette.index(options.map_class)
    if not path.exists():
        raise DataError(f"{path} does not exist")
    try:
        dataset = rasterio.open(path)
    except FAILURES as error:
        return _from_vectors(path, found, options, notes, reason(error))
    with dataset:
        try:
            classes = read_reference_raster(dataset, path, found, options.map_class, options.palette, notes)
        except FAILURES as error:
            raise DataError(f"{path} cannot be read ({reason(error)})") from None
    return Reference(classes, one_class=options.map_class)


def _from_vectors(
    path: Path, found: ClassMap, options: ReferenceOptions, notes: list[str], why_no_raster: str
) -> Reference:
    if found.grid.crs is None:
        raise DataError("the map has no CRS, so vectors cannot be laid over it", hint="give it one first")
    try:
        layers = pyogrio.list_layers(path)
    except pyogrio.errors.DataSourceError:
        raise DataError(
            f"{path} is neither a raster nor vectors that can be read ({why_no_raster})"
        ) from None
    columns = {name for layer, _ in layers for name in pyogrio.read_info(path, layer=layer)["fields"]}
    if options.style is not None:
        classes, objects = draw_style(path, found, options.style, notes), None
        if options.map_class is not None:
            classes = (classes == found.palette.index(options.map_class)).astype(np.uint8)
    elif options.map_class is not None and options.class_column is None:
        classes, objects = draw_polygons(path, found, None, notes)
    else:
        column = options.class_column or "class"
        if column not in columns:
            raise SettingsError(
                f"{path} has no column '{column}'"
                + (f", {nearest(column, columns)}" if options.class_column else " that names classes"),
                hint="" if options.class_column else "name the column, the one class, or a style",
                setting="class_column" if options.class_column else "style",
            )
        classes, objects = draw_polygons(path, found, column, notes)
        if options.map_class is not None:
            wanted = classes == found.palette.index(options.map_class)
            objects = np.where(wanted, objects, 0)
            classes = wanted.astype(np.uint8)
    return Reference(classes, objects, options.map_class)
