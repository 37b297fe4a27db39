"""Polygons of a class raster: one coverage without gaps or overlaps, and buildings with right angles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.ndimage import distance_transform_edt, find_objects, label

from sat2map.errors import ImageError
from sat2map.geo.layers import NODATA
from sat2map.geo.regularise import regularise


def class_polygons(
    classes: NDArray[np.uint8], buildings: int | None, *, tolerance: float, min_area: float
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return polygons in pixels (x: column, y: row) that cover all valid pixels once, and their classes.

    Buildings are cut out first and the ground below them goes to the nearest other class. That ground is
    simplified as one coverage, so that borders of neighbours stay common; buildings get right angles; and the
    ground gives way to them.

    Args:
        classes: Class numbers, uint8 (h, w); `NODATA` is missing.
        buildings: The class whose polygons get right angles; None: no class does.
        tolerance: How far a border may lie from that of the pixels (px).
        min_area: Smaller parts of the ground beside a building join a neighbour (px).

    Raises:
        ImageError: Everything is nodata.
    """
    is_building = classes == (NODATA if buildings is None else buildings)
    if (
        buildings is None
        or tolerance == 0
        or not is_building.any()
        or (is_building | (classes == NODATA)).all()
    ):
        ground, numbers = _outlines(classes)
        ground = np.asarray(shapely.coverage_simplify(ground, tolerance))
        known = numbers != NODATA
        if not known.any():
            raise ImageError("the map is all nodata: there is nothing to vectorize")
        return ground[known], numbers[known]
    with ThreadPoolExecutor(1, thread_name_prefix="houses") as pool:
        squared = pool.submit(_squared_houses, is_building, tolerance=tolerance, min_area=min_area)
        ground, numbers = _outlines(_without(is_building, classes))
        ground = np.asarray(shapely.coverage_simplify(ground, tolerance))
        houses = squared.result()
    houses = _cut(houses, ground[numbers == NODATA])
    height, width = classes.shape
    houses = shapely.get_parts(shapely.clip_by_rect(houses, 0, 0, width, height))
    houses = houses[(shapely.get_type_id(houses) == 3) & (shapely.area(houses) >= min(min_area, 1))]
    ground, numbers = ground[numbers != NODATA], numbers[numbers != NODATA]
    left, origin = shapely.get_parts(_cut(ground, houses), return_index=True)
    polygons = np.concatenate([left, houses])
    numbers = np.concatenate([numbers[origin], np.full(len(houses), buildings, np.uint8)])
    return _merge_small(polygons, numbers, np.arange(len(left)), min_area)


def _squared_houses(is_building: NDArray[np.bool_], *, tolerance: float, min_area: float) -> NDArray[Any]:
    """Return the outlines of buildings with right angles, none over another."""
    houses, _ = _outlines(is_building.astype(np.uint8), wanted=1)
    return _apart(regularise(_without_small_holes(houses, min_area), tolerance))


def _without(is_building: NDArray[np.bool_], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return class numbers in which the ground below buildings has the nearest other class."""
    filled, unknown = classes.copy(), is_building | (classes == NODATA)
    patches, _ = label(unknown, np.ones((3, 3)))
    # What is nearest to a patch touches it, so each is looked at by itself.
    for number, (rows, columns) in enumerate(find_objects(patches), 1):
        around = np.s_[max(0, rows.start - 1) : rows.stop + 1, max(0, columns.start - 1) : columns.stop + 1]
        below = is_building[around] & (patches[around] == number)
        if below.any():
            nearest = distance_transform_edt(unknown[around], return_distances=False, return_indices=True)
            filled[around][below] = classes[around][tuple(nearest)][below]
    return filled


def _outlines(values: NDArray[np.uint8], wanted: int | None = None) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    rings: list[list[tuple[float, float]]] = []
    polygon: list[int] = []  # of each ring
    numbers: list[int] = []
    for shape, number in shapes(values, mask=None if wanted is None else values == wanted, connectivity=4):
        rings += shape["coordinates"]
        polygon += [len(numbers)] * len(shape["coordinates"])
        numbers.append(int(number))
    ring = np.repeat(np.arange(len(rings)), [len(points) for points in rings])
    closed = shapely.linearrings(np.array([*chain.from_iterable(rings)], np.float64), indices=ring)
    return np.asarray(shapely.polygons(closed, indices=polygon)), np.array(numbers, np.uint8)


def _without_small_holes(polygons: NDArray[Any], min_area: float) -> NDArray[Any]:
    return np.array(
        [
            shapely.Polygon(p.exterior, [r for r in p.interiors if shapely.Polygon(r).area >= min_area])
            if p.interiors
            else p
            for p in polygons
        ],
        object,
    )


def _apart(polygons: NDArray[Any]) -> NDArray[Any]:
    """Take from each polygon what an earlier one covers already."""
    polygons = polygons.copy()
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    for one, other in zip(first, second, strict=True):
        if one < other:
            polygons[other] = shapely.difference(polygons[other], polygons[one])
    return polygons


def _cut(polygons: NDArray[Any], knives: NDArray[Any]) -> NDArray[Any]:
    """Take from each polygon what some others cover."""
    if not len(knives):
        return polygons
    polygons = polygons.copy()
    which, knife = shapely.STRtree(knives).query(polygons, predicate="intersects")  # sorted by `which`
    if not len(which):
        return polygons
    cut, starts = np.unique(which, return_index=True)
    # Most knives touch no other: those are joined without looking at all their edges.
    covers = [shapely.disjoint_subset_union_all(some) for some in np.split(knives[knife], starts[1:])]
    polygons[cut] = shapely.difference(polygons[cut], covers)
    return polygons


def _common_border(small: Any, other: Any) -> float:
    """Return the length of the border that two polygons share; it is looked for near the small one."""
    left, bottom, right, top = small.bounds
    near = shapely.clip_by_rect(other, left - 1, bottom - 1, right + 1, top + 1)
    return float(small.boundary.intersection(near.buffer(1e-6)).length)


def _merge_small(
    polygons: NDArray[Any], numbers: NDArray[np.uint8], candidates: NDArray[np.int64], min_area: float
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Give each small candidate to the neighbour with which it has the longest common border."""
    polygons = polygons.copy()
    areas = shapely.area(polygons)
    small = sorted((int(i) for i in candidates if areas[i] < min_area), key=lambda i: float(areas[i]))
    tree = shapely.STRtree(polygons)
    current = np.arange(len(polygons))  # where each polygon is now

    def find(i: int) -> int:
        while current[i] != i:
            i = current[i]
        return int(i)

    for i in small:
        if polygons[find(i)] is not polygons[i] or polygons[i].area >= min_area:
            continue
        neighbours = {find(j) for j in tree.query(polygons[i].buffer(1e-6), predicate="intersects")} - {i}
        borders = {j: _common_border(polygons[i], polygons[j]) for j in neighbours}
        best = max(borders, key=lambda j: borders[j], default=None)
        if best is None or not borders[best]:
            continue
        merged = shapely.union(polygons[best], polygons[i])
        if merged.geom_type == "Polygon":
            polygons[best], current[i] = merged, best
    kept = np.array([find(i) == i for i in range(len(polygons))], bool)
    kept &= (shapely.get_type_id(polygons) == 3) & (shapely.area(polygons) > 0)
    return polygons[kept], numbers[kept]
