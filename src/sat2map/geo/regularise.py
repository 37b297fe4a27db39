"""Building outlines with right angles along each building's own main direction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

MOST_MOVED = 0.6  # tolerances; an outline that moves more on average keeps its simplified shape
_SIMPLER = 0.8  # of the tolerance, before edges are turned: less keeps the steps of pixels, more cuts corners
_ANGLES = np.deg2rad(np.arange(0, 90, 1.0))


def regularise(polygons: NDArray[Any], tolerance: float) -> NDArray[Any]:
    """Return polygons whose corners are right angles, where that hardly changes them.

    Edges are turned to the main direction or across it, merged where they follow each other, and moved to
    their own mean; steps shorter than the tolerance vanish. Round and very irregular outlines are only
    simplified.

    Args:
        polygons: shapely polygons, such as the outlines of pixels.
        tolerance: About the size of a pixel that the model saw, in their units.
    """
    out = []
    centres = shapely.get_coordinates(shapely.centroid(polygons))
    simplified = shapely.simplify(polygons, _SIMPLER * tolerance)
    for polygon, simple, centre in zip(polygons, simplified, centres, strict=True):
        square = _squared(polygon, simple, centre, tolerance)
        out.append(simple if square is None else square)
    return np.array(out, object)


def main_direction(polygon: shapely.Polygon) -> float:
    """Return the direction of a building in degrees, 0 to 90: that of its narrowest bounding rectangle.

    The outline of pixels has edges along their grid alone, so its edges say nothing; its hull does.
    """
    hull = shapely.get_coordinates(shapely.convex_hull(polygon))
    turned_x = np.outer(np.cos(_ANGLES), hull[:, 0]) + np.outer(np.sin(_ANGLES), hull[:, 1])
    turned_y = np.outer(-np.sin(_ANGLES), hull[:, 0]) + np.outer(np.cos(_ANGLES), hull[:, 1])
    areas = np.ptp(turned_x, axis=1) * np.ptp(turned_y, axis=1)
    return float(np.rad2deg(_ANGLES[areas.argmin()]))


def _squared(
    polygon: shapely.Polygon, simple: shapely.Polygon, centre: NDArray[np.float64], tolerance: float
) -> shapely.Polygon | None:
    best, least, area = None, MOST_MOVED * tolerance * simple.length, polygon.area
    outlines = [shapely.get_coordinates(ring) for ring in (simple.exterior, *simple.interiors)]
    edges = np.diff(outlines[0], axis=0)
    # The mean direction of the edges, modulo 90 degrees; long ones count most.
    fourfold = ((edges[:, 0] + 1j * edges[:, 1]) ** 4 / np.maximum(np.hypot(*edges.T), 1e-9) ** 2).sum()
    for angle in {round(main_direction(polygon), 1), round(float(np.rad2deg(np.angle(fourfold)) / 4), 1)}:
        cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        turn = np.array([[cosine, -sine], [sine, cosine]])  # of rows, by -angle
        rings = [_right_angled((outline - centre) @ turn, tolerance) for outline in outlines]
        if rings[0] is None:
            continue
        exterior, *holes = [ring @ turn.T + centre for ring in rings if ring is not None]
        square = shapely.Polygon(exterior, holes)
        if not square.is_valid:
            continue
        difference = area + square.area  # of the areas; less twice what is common, that of the outlines
        if abs(2 * area - difference) >= least:
            continue
        changed = difference - 2 * square.intersection(polygon).area
        if changed < least:
            best, least = square, changed
    return best


def _right_angled(ring: NDArray[np.float64], shortest: float) -> NDArray[np.float64] | None:
    """Return the ring with horizontal and vertical edges in turn, float64 (n, 2); None if too little is left.

    Args:
        ring: float64 (n + 1, 2), closed.
        shortest: Steps shorter than this vanish.
    """
    steps = np.diff(ring, axis=0)
    middles = (ring[1:] + ring[:-1]) / 2
    # Each edge: is it horizontal, where does it lie (y, or x), and how much does it count?
    edges = [
        (abs(dx) >= abs(dy), y if abs(dx) >= abs(dy) else x, math.hypot(dx, dy))
        for (dx, dy), (x, y) in zip(steps.tolist(), middles.tolist(), strict=True)
    ]
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
    corners = []
    for i, (horizontal, place, _) in enumerate(edges):
        other = edges[i - 1][1]
        corners.append((other, place) if horizontal else (place, other))
    return np.array(corners)


def _merged(edges: list[tuple[bool, float, float]]) -> list[tuple[bool, float, float]]:
    """Merge neighbours of one direction into one edge at their mean place."""
    merged: list[tuple[bool, float, float]] = []
    for edge in edges:
        if merged and merged[-1][0] == edge[0]:
            merged[-1] = _mean(merged[-1], edge)
        else:
            merged.append(edge)
    if len(merged) > 1 and merged[0][0] == merged[-1][0]:
        merged[0] = _mean(merged[0], merged.pop())
    return merged


def _mean(a: tuple[bool, float, float], b: tuple[bool, float, float]) -> tuple[bool, float, float]:
    weight = a[2] + b[2]
    return a[0], (a[1] * a[2] + b[1] * b[2]) / weight if weight else a[1], weight
