"""Roads as a graph: centre lines that meet at shared nodes, with the width of the road as an attribute."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_cdt
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

# Half of the eight neighbours: each step between two pixels is taken once.
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


class RoadGraph(NamedTuple):
    """Centre lines, all in pixels (x: column, y: row; centres at .5).

    Attributes:
        lines: shapely lines; those that meet have the same end point.
        widths: Width of the road at each line (px).
        nodes: int64 (n, 2), numbers of the nodes at both ends.
    """

    lines: NDArray[Any]
    widths: NDArray[np.float64]
    nodes: NDArray[np.int64]


def road_graph(
    mask: NDArray[np.bool_], kinds: NDArray[np.uint8] | None = None, *, shortest: float, tolerance: float
) -> RoadGraph:
    """Trace the middle of the roads of a mask.

    Args:
        mask: bool (h, w).
        kinds: Numbers of the kinds of road, uint8 (h, w): a node parts a line where its kind changes.
        shortest: Loose lines shorter than this are left out (px), and so are dead ends shorter than the road
            is wide: they are artefacts of the skeleton.
        tolerance: How far a simplified line may lie from the traced one (px).
    """
    # Beyond the image the road goes on: its border is none of the road's, and lines end there.
    margin = 2 + int(np.ceil(2**0.5 * distance_transform_cdt(mask, "chessboard").max()))
    inside = (slice(margin, -margin), slice(margin, -margin))
    wide = np.pad(mask, margin, mode="edge")
    skeleton: NDArray[np.bool_] = skeletonize(wide)[inside]  # type: ignore[no-untyped-call]
    half = _HalfWidth(wide, margin)
    lines = _joined(_contracted(_joined(_steps(skeleton)), half))
    while len(lines):
        degree = _degrees(lines)
        dead_ends = (degree == 1).sum(axis=1)
        width = 2 * half.at(_ends(lines)).max(axis=1)
        length = shapely.length(lines)
        spur = ((dead_ends == 1) & (length < width)) | ((dead_ends == 2) & (length < shortest))
        if not spur.any():
            break
        lines = _joined(lines[~spur])
    if kinds is not None and len(lines):
        lines = _parted(lines, kinds, half, shortest)
    points = half.at(shapely.get_coordinates(lines))
    along = np.split(points, np.cumsum(shapely.get_num_coordinates(lines))[:-1])
    widths = np.array([2 * np.median(line) for line in along[: len(lines)]], np.float64)
    lines = np.asarray(shapely.simplify(lines, tolerance))
    if not len(lines):
        return RoadGraph(np.array([], object), widths, np.zeros((0, 2), np.int64))
    _, node = np.unique(_ends(lines).reshape(-1, 2), axis=0, return_inverse=True)
    return RoadGraph(lines, widths, node.reshape(-1, 2))


def _steps(skeleton: NDArray[np.bool_]) -> NDArray[Any]:
    """Return a line for each pair of neighbours; a diagonal only where no corner joins them already."""
    height, width = skeleton.shape
    padded = np.pad(skeleton, 1)
    lines = []
    for down, across in _STEPS:
        other = padded[1 + down : 1 + down + height, 1 + across : 1 + across + width]
        joined = skeleton & other
        if down and across:
            beside = padded[1 : 1 + height, 1 + across : 1 + across + width]
            below = padded[1 + down : 1 + down + height, 1 : 1 + width]
            joined &= ~beside & ~below
        rows, columns = np.nonzero(joined)
        start = np.stack([columns, rows], axis=1) + 0.5
        lines.append(np.stack([start, start + np.array([across, down])], axis=1))
    return np.asarray(shapely.linestrings(np.concatenate(lines)))


def _joined(lines: NDArray[Any]) -> NDArray[Any]:
    if not len(lines):
        return lines
    return np.asarray(shapely.get_parts(shapely.line_merge(shapely.multilinestrings(lines))))


def _contracted(lines: NDArray[Any], half: _HalfWidth) -> NDArray[Any]:
    """Make one node of junctions that lie within half a road's width of each other."""
    if not len(lines):
        return lines
    inner = (_degrees(lines) > 2).all(axis=1)
    short = inner & (shapely.length(lines) < half.at(_ends(lines)).min(axis=1))
    if not short.any():
        return lines
    groups = shapely.get_parts(shapely.union_all(shapely.buffer(lines[short], 0.1)))
    tree = shapely.STRtree(groups)
    centres = shapely.get_coordinates(shapely.centroid(groups))
    kept = lines[~short]
    points, of_line = shapely.get_coordinates(kept, return_index=True)
    last = np.cumsum(shapely.get_num_coordinates(kept)) - 1
    ends = np.concatenate([np.append(0, last[:-1] + 1), last])
    end, group = tree.query(shapely.points(points[ends]), predicate="intersects")
    points[ends[end]] = centres[group]
    return np.asarray(shapely.linestrings(points, indices=of_line))


def _parted(lines: NDArray[Any], kinds: NDArray[np.uint8], half: _HalfWidth, shortest: float) -> NDArray[Any]:
    """Part lines where the kind of road changes for longer than a road is wide; at crossings it does not."""
    points, of_line = shapely.get_coordinates(lines, return_index=True)
    columns, rows = np.clip(points.astype(int), 0, np.array(kinds.shape[::-1]) - 1).T
    starts = np.flatnonzero(np.diff(of_line)) + 1
    parts = []
    for line, kind, width in zip(
        *(np.split(of, starts) for of in (points, kinds[rows, columns], 2 * half.at(points))), strict=True
    ):
        cuts = _changes(kind, max(shortest, 2, width.max()))
        parts += [line[start : stop + 1] for start, stop in pairwise([0, *cuts, len(line) - 1])]
    return np.array([shapely.LineString(part) for part in parts], object)


def _changes(kind: NDArray[np.uint8], least: float) -> list[int]:
    """Return where a sequence changes, once runs shorter than `least` have joined their longer neighbour."""
    kind = kind.copy()
    while True:
        starts = [0, *(np.flatnonzero(np.diff(kind)) + 1).tolist(), len(kind)]
        sizes = np.diff(starts)
        run = int(sizes.argmin())
        if len(sizes) == 1 or sizes[run] >= least:
            return starts[1:-1]
        beside = [other for other in (run - 1, run + 1) if 0 <= other < len(sizes)]
        longer = max(beside, key=lambda other: int(sizes[other]))
        kind[starts[run] : starts[run + 1]] = kind[starts[longer]]


def _ends(lines: NDArray[Any]) -> NDArray[np.float64]:
    """Return the end points, float64 (n, 2, 2)."""
    return np.stack([shapely.get_coordinates(shapely.get_point(lines, i)) for i in (0, -1)], axis=1)


def _degrees(lines: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many lines end at each line's ends, int64 (n, 2)."""
    _, which, count = np.unique(_ends(lines).reshape(-1, 2), axis=0, return_inverse=True, return_counts=True)
    return np.asarray(count[which.ravel()].reshape(-1, 2))


class _HalfWidth:
    """Distances to the edge of the roads, as of a distance transform, at the points where they are needed."""

    def __init__(self, wide: NDArray[np.bool_], margin: int) -> None:
        """Take the roads' mask, bool (h, w), with a margin that is not counted (px)."""
        self._mask, self._margin = wide, margin
        outside = binary_dilation(wide, np.ones((3, 3), np.bool_)) & ~wide
        self._edge = cKDTree(np.argwhere(outside)) if outside.any() else None

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the distance at points (x, y), of the pixels that they lie in (px); 0 outside of roads."""
        height, width = (side - 2 * self._margin for side in self._mask.shape)
        rows = np.clip(np.floor(points[..., 1]).astype(int), 0, height - 1) + self._margin
        columns = np.clip(np.floor(points[..., 0]).astype(int), 0, width - 1) + self._margin
        if self._edge is None:
            return np.full(rows.shape, float(max(self._mask.shape)))
        distance, _ = self._edge.query(np.stack([rows, columns], axis=-1))
        return np.where(self._mask[rows, columns], distance, 0.0)
