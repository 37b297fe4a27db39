"""Building outlines with right angles along each building's own main direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

MOST_MOVED = 0.6  # tolerances; an outline that moves more on average keeps its simplified shape
_SIMPLER = 0.8  # of the tolerance, before edges are turned: less keeps the steps of pixels, more cuts corners
_ANGLES = np.deg2rad(np.arange(0, 90, 1.0))
_AT_ONCE = 1024  # outlines; they are worked on in arrays, whose size is bounded by this

Edge = tuple[bool, float, float]  # is it horizontal, where does it lie (y, or x), and how much does it count?


def regularise(polygons: NDArray[Any], tolerance: float) -> NDArray[Any]:
    """Return polygons whose corners are right angles, where that hardly changes them.

    Edges are turned to the main direction or across it, merged where they follow each other, and moved to
    their own mean; steps shorter than the tolerance vanish. Round and very irregular outlines are only
    simplified.

    Args:
        polygons: shapely polygons, such as the outlines of pixels.
        tolerance: About the size of a pixel that the model saw, in their units.
    """
    parts = [_regularise(polygons[i : i + _AT_ONCE], tolerance) for i in range(0, len(polygons), _AT_ONCE)]
    return np.concatenate(parts) if parts else polygons


def main_direction(polygons: NDArray[Any]) -> NDArray[np.float64]:
    """Return directions of buildings in degrees, 0 to 90: those of their narrowest bounding rectangles.

    The outline of pixels has edges along their grid alone, so its edges say nothing; its hull does.
    """
    (x, y), starts = _vertices(shapely.convex_hull(polygons))
    cosine, sine = np.cos(_ANGLES)[:, None], np.sin(_ANGLES)[:, None]
    width, height = (
        np.maximum.reduceat(along, starts, axis=1) - np.minimum.reduceat(along, starts, axis=1)
        for along in (cosine * x + sine * y, cosine * y - sine * x)
    )
    return np.asarray(np.rad2deg(_ANGLES[np.argmin(width * height, axis=0)]))


def _regularise(polygons: NDArray[Any], tolerance: float) -> NDArray[Any]:
    out = np.asarray(shapely.simplify(polygons, _SIMPLER * tolerance))
    simple, areas = out.copy(), shapely.area(polygons)
    least = MOST_MOVED * tolerance * shapely.length(simple)
    centres = shapely.get_coordinates(shapely.centroid(polygons))
    rings, of_polygon = shapely.get_rings(simple, return_index=True)
    first, second = main_direction(polygons).round(1), _mean_direction(shapely.get_exterior_ring(simple))
    for degrees, wanted in ((first, np.ones(len(out), bool)), (second, first != second)):
        chosen = wanted[of_polygon]
        which, squares = _squared(rings[chosen], of_polygon[chosen], degrees, centres, tolerance)
        # Of the areas; less twice what is common, that of the outlines.
        difference = areas[which] + shapely.area(squares)
        near = shapely.is_valid(squares) & (np.abs(2 * areas[which] - difference) < least[which])
        which, squares = which[near], squares[near]
        changed = difference[near] - 2 * shapely.area(shapely.intersection(squares, polygons[which]))
        better = changed < least[which]
        out[which[better]], least[which[better]] = squares[better], changed[better]
    return out


def _mean_direction(rings: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean direction of each ring's edges in degrees, modulo 90; long edges count most."""
    (x, y), starts = _vertices(rings)
    steps = np.diff(x + 1j * y, append=0)
    steps[starts[1:] - 1] = steps[-1] = 0  # from one ring to the next
    fourfold = np.add.reduceat(steps**4 / np.maximum(np.abs(steps), 1e-9) ** 2, starts)
    return np.asarray(np.round(np.rad2deg(np.angle(fourfold)) / 4, 1))


def _squared(
    rings: NDArray[Any],
    of_polygon: NDArray[np.int64],
    degrees: NDArray[np.float64],
    centres: NDArray[np.float64],
    tolerance: float,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return polygons of the rings with right angles along each one's direction, and their numbers.

    Holes of which too little is left are filled; polygons of which too little is left are missing.

    Args:
        rings: Of the polygons: of each its exterior, then its holes.
        of_polygon: The polygon of each ring.
        degrees: Of all polygons.
        centres: float64 (polygons, 2); where each is turned about.
        tolerance: Shorter steps vanish.
    """
    (x, y), starts = _vertices(rings)
    if not len(rings):
        return np.array([], np.int64), np.array([], object)
    ends = np.append(starts[1:], len(x))
    owner = np.repeat(of_polygon, ends - starts)
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    x, y = x - centres[owner, 0], y - centres[owner, 1]
    x, y = x * cosine[owner] + y * sine[owner], y * cosine[owner] - x * sine[owner]
    dx, dy = np.diff(x), np.diff(y)
    horizontal = np.abs(dx) > np.abs(dy) - 1e-9  # at 45 degrees too, whatever the last bits are
    places = np.where(horizontal, y[1:] + y[:-1], x[1:] + x[:-1]) / 2
    edges = list(zip(horizontal.tolist(), places.tolist(), np.hypot(dx, dy).tolist(), strict=True))
    corners: list[tuple[float, float]] = []
    sizes = []
    kept, without = [], -1
    for number, (start, end, polygon) in enumerate(
        zip(starts.tolist(), ends.tolist(), of_polygon.tolist(), strict=True)
    ):
        is_exterior = number == 0 or of_polygon[number - 1] != polygon
        ring = None if polygon == without else _right_angled(edges[start : end - 1], tolerance)
        if ring is not None:
            corners += ring
            sizes.append(len(ring))
            kept.append(polygon)
        elif is_exterior:
            without = polygon
    if not kept:
        return np.array([], np.int64), np.array([], object)
    x, y = np.array(corners).T
    owner = np.repeat(kept, sizes)
    points = np.stack([x * cosine[owner] - y * sine[owner], x * sine[owner] + y * cosine[owner]], axis=1)
    closed = shapely.linearrings(points + centres[owner], indices=np.repeat(np.arange(len(kept)), sizes))
    which, of_ring = np.unique(kept, return_inverse=True)
    return which, np.asarray(shapely.polygons(closed, indices=of_ring))


def _vertices(shapes: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the vertices of all, float64 (2, n), and where each one's begin."""
    points, owner = shapely.get_coordinates(shapes, return_index=True)
    return points.T, np.searchsorted(owner, np.arange(len(shapes)))


def _right_angled(edges: list[Edge], shortest: float) -> list[tuple[float, float]] | None:
    """Return the corners of a ring with horizontal and vertical edges in turn; None if too little is left.

    Args:
        edges: Of the ring.
        shortest: Steps shorter than this vanish.
    """
    edges = _merged(edges)
    # An edge is as long as its two neighbours are apart.
    places = [place for _, place, _ in edges]
    neighbours = zip(places[-1:] + places[:-1], places[1:] + places[:1], strict=True)
    lengths = [abs(before - after) for before, after in neighbours]
    while len(edges) >= 4:
        least = min(lengths)
        if least >= shortest:
            break
        # The two beside it have one direction, and become one edge.
        gone = lengths.index(least)
        edges = edges[gone:] + edges[:gone]
        edges = [_mean(edges[-1], edges[1]), *edges[2:-1]]
        lengths = lengths[gone:] + lengths[:gone]
        lengths = [lengths[0], *lengths[2:-1]]
        for i in (-1, 0, 1):
            lengths[i] = abs(edges[i - 1][1] - edges[(i + 1) % len(edges)][1])
    if len(edges) < 4:
        return None
    before = [edges[-1], *edges[:-1]]
    return [
        (other, place) if horizontal else (place, other)
        for (horizontal, place, _), (_, other, _) in zip(edges, before, strict=True)
    ]


def _merged(edges: list[Edge]) -> list[Edge]:
    """Merge neighbours of one direction into one edge at their mean place."""
    merged: list[Edge] = []
    for edge in edges:
        if merged and merged[-1][0] == edge[0]:
            merged[-1] = _mean(merged[-1], edge)
        else:
            merged.append(edge)
    if len(merged) > 1 and merged[0][0] == merged[-1][0]:
        merged[0] = _mean(merged[0], merged.pop())
    return merged


def _mean(a: Edge, b: Edge) -> Edge:
    weight = a[2] + b[2]
    return a[0], (a[1] * a[2] + b[1] * b[2]) / weight if weight else a[1], weight
