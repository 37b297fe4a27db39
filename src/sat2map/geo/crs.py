"""Coordinate reference systems (CRS): their names, boxes in them, and distances on the ground."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyproj

from sat2map.errors import SettingsError

Box = tuple[float, float, float, float]
"""Left, bottom, right, top. In longitude and latitude, left > right where the box crosses 180 degrees."""

LONLAT = "OGC:CRS84"
OUTLINE = 21  # points along each edge of a box whose edges become curves


def parse_crs(text: str, setting: str) -> pyproj.CRS:
    """Return the CRS that a user names.

    Raises:
        SettingsError: PROJ does not know it.
    """
    try:
        return pyproj.CRS(text)
    except pyproj.exceptions.CRSError:
        raise SettingsError(
            f"'{text}' is not a CRS that PROJ knows",
            hint="write it as EPSG:32633, or as WKT",
            setting=setting,
        ) from None


def moved_box(box: Box, crs: pyproj.CRS | str, to: pyproj.CRS | str) -> Box | None:
    """Return the box around a box, whose edges become curves in another CRS; None outside of its area."""
    try:
        move = pyproj.Transformer.from_crs(crs, to, always_xy=True)
        moved: Box = move.transform_bounds(*box, densify_pts=OUTLINE)
    except pyproj.exceptions.ProjError:
        return None
    return moved if all(map(math.isfinite, moved)) else None


def ground_distances(crs: pyproj.CRS, places: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Return how far two places are from a first one on the ellipsoid (m); None outside of the CRS's area."""
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    xs, ys = zip(*places, strict=True)
    longitudes, latitudes = to_degrees.transform(xs, ys)
    if not all(map(math.isfinite, (*longitudes, *latitudes))):
        return None
    geod = crs.get_geod()
    assert geod is not None
    here, one, other = zip(longitudes, latitudes, strict=True)
    return geod.inv(*here, *one)[2], geod.inv(*here, *other)[2]
