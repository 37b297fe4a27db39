"""The sea beside coastlines: OpenStreetMap draws only its edge, with the water on the right of each line."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

_BESIDE = 0.01  # m; how far from a line its sides are looked at


def sea_polygons(coastlines: NDArray[Any], box: shapely.Polygon, *, mirrored: bool) -> NDArray[Any]:
    """Return the parts of a box that are sea.

    The coastlines cut the box into faces; each is sea if most of its coast has it on the right.

    Args:
        coastlines: Lines in the order of their points, or polygons (closed coastlines, land inside).
        box: Where the sea is wanted; lines must end outside of it, or meet each other.
        mirrored: Whether the plane's y axis points down, so that right is left.

    Returns:
        Polygons, none if no coastline cuts the box.
    """
    lines = shapely.get_parts(_directed(coastlines, mirrored=mirrored))
    lines = shapely.get_parts(shapely.intersection(lines, box))
    lines = lines[shapely.get_type_id(lines) == 1]
    if not len(lines):
        return np.array([], object)
    edges = shapely.union_all([*lines, shapely.boundary(box)])
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(edges)))
    coordinates, of_line = shapely.get_coordinates(lines, return_index=True)
    step = np.diff(coordinates, axis=0)
    length = np.hypot(*step.T)
    inside = (np.diff(of_line) == 0) & (length > 0)
    start, step, length = coordinates[:-1][inside], step[inside], length[inside]
    right = np.stack([step[:, 1], -step[:, 0]], axis=1) / length[:, None] * _BESIDE
    if mirrored:
        right = -right
    middle = start + step / 2
    tree = shapely.STRtree(faces)
    votes = np.zeros(len(faces))
    for points, sign in ((middle + right, 1), (middle - right, -1)):
        which, face = tree.query(shapely.points(points), predicate="intersects")
        np.add.at(votes, face, sign * length[which])
    return np.asarray(faces[votes > 0])


def _directed(coastlines: NDArray[Any], *, mirrored: bool) -> NDArray[Any]:
    """Return lines; the rings of polygons run so that their inside is on the left."""
    areas = np.isin(shapely.get_type_id(coastlines), (3, 6))
    outer = shapely.polygons(shapely.get_exterior_ring(shapely.get_parts(coastlines[areas])))
    rings = shapely.boundary(shapely.orient_polygons(outer, exterior_cw=mirrored))
    return np.concatenate([coastlines[~areas], rings])
