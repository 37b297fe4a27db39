"""Vectors as a reference: class numbers on the grid of a map, by what lies at each pixel's centre."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from sat2map.errors import DataError
from sat2map.geo.class_map import ClassMap
from sat2map.geo.draw import VectorMap
from sat2map.geo.layers import NODATA
from sat2map.geo.style import load_style, parse_colour
from sat2map.geo.vector_input import read_vectors

WEB = "web"  # the style that comes with the package
_POLYGON = 3  # type number of shapely


def another_place(path: Path) -> DataError:
    """Return the error of a reference that shares no ground with the map."""
    return DataError(
        f"{path} lies in another place than the map: they share no ground",
        hint="check both files' CRS, and that they are of the same town",
    )


def draw_style(path: Path, found: ClassMap, style: str, notes: list[str]) -> NDArray[np.uint8]:
    """Draw vectors in a style; a colour stands for the nearest class of the map's palette.

    Borders of lines and areas (casings) are left out: they are none of the ground's.

    Returns:
        Class numbers, uint8 (h, w), `NODATA` outside of the vectors' bounds.

    Raises:
        DataError: The vectors cannot be read, or show nothing on the map.
        SettingsError: There is no such style.
    """
    loaded = load_style(None if style == WEB else Path(style))
    plain = loaded.model_copy(
        update={"layer": tuple(layer.model_copy(update={"casing": 0.0}) for layer in loaded.layer)}
    )
    within = _covered(path, found, notes)
    drawn = VectorMap(path, plain, found.grid)
    notes += drawn.notes
    colours = np.array([parse_colour(loaded.background), *(one.colour for one in drawn.drawables)], np.uint8)
    classes = found.palette.classify(colours)[drawn.numbers(found.grid)]
    return np.where(within, classes, np.uint8(NODATA))


def draw_polygons(
    path: Path, found: ClassMap, column: str | None, notes: list[str]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw polygons whose classes a column names, or which are all of one class where it is None.

    Returns:
        Class numbers, uint8 (h, w), `NODATA` where nothing is drawn; without a column 1 where a polygon is,
        else 0, and `NODATA` outside of the vectors' bounds. And the number of the polygon, int32 (h, w), 0
        where there is none.

    Raises:
        DataError: The vectors cannot be read, have no polygons, or show nothing on the map.
    """
    within = _covered(path, found, notes)
    vectors = read_vectors(path, {column} if column else set(), found.grid, margin=0.0)
    notes += vectors.notes
    polygons, origin = shapely.get_parts(vectors.geometries, return_index=True)
    is_area = shapely.get_type_id(polygons) == _POLYGON
    if not is_area.any():
        if not len(polygons):
            raise another_place(path)
        raise DataError(
            f"{path} has only lines on the map, and lines have no area",
            hint="a style gives them a width",
            setting="style",
        )
    if not is_area.all():
        notes.append(
            f"{path}: {np.count_nonzero(~is_area)} lines are left out, as they have no width; a style gives "
            "them one"
        )
    polygons, origin = polygons[is_area], origin[is_area]
    numbers = np.ones(len(polygons), np.uint8)
    if column is not None:
        named = vectors.fields[column][origin]
        known = np.isin(named.astype(str), found.palette.names)
        if not known.any():
            raise DataError(
                f"{path}: no value of the column '{column}' is a class of the map, such as "
                f"'{found.palette.names[0]}'; it has {_listed(named)}"
            )
        if not known.all():
            notes.append(
                f"{path}: the map has no class {_listed(named[~known])}: such ground is not compared"
            )
        polygons, named = polygons[known], named[known]
        numbers = np.array([found.palette.index(name) for name in named], np.uint8)
    metres = found.grid.metres()
    assert metres is not None
    place: dict[str, Any] = {"out_shape": found.classes.shape, "transform": Affine.scale(*metres)}
    objects = rasterize(zip(polygons, range(1, len(polygons) + 1), strict=True), dtype="int32", **place)
    classes = np.concatenate([[NODATA if column else 0], numbers]).astype(np.uint8)[objects]
    if column is None:
        classes[~within] = NODATA
    return classes, objects


def _covered(path: Path, found: ClassMap, notes: list[str]) -> NDArray[np.bool_]:
    """Return which pixels lie within the bounds of vectors, bool (h, w): outside nothing is known."""
    grid = found.grid
    within = np.zeros(found.classes.shape, np.bool_)
    for layer, kind in pyogrio.list_layers(path):
        about = pyogrio.read_info(path, layer=layer, force_total_bounds=True)
        if kind is None or not about["features"]:
            continue
        if about["crs"] is None:
            raise DataError(f"{path} does not name its CRS", hint="convert it to a GeoPackage with one")
        area = grid.covering_box(about["total_bounds"], about["crs"])
        if area is not None:
            within[area.top : area.bottom, area.left : area.right] = True
    share = float(within.mean())
    if not share:
        raise another_place(path)
    if share < 1:
        notes.append(f"{path} reaches over {share:.0%} of the map: only there the two are compared")
    return within


def _listed(names: NDArray[Any]) -> str:
    distinct = sorted({str(name) for name in names})
    return ", ".join(distinct[:5]) + (f" and {len(distinct) - 5} more" if len(distinct) > 5 else "")
