"""Tiles of a large image: where they lie, how they overlap, and how their outputs are blended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Of tiles of 512 px: with no overlap the gradient at a seam is 2.3 times that elsewhere, with 32 px below 1.
MIN_OVERLAP = 32  # px
MIN_LAST = 256  # px; a shorter tile at the end of an axis would see too little around its pixels
ALIGNMENT = 32  # px; a strided network gives the same pixels again only when moved by whole strides

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Cut = Callable[["Span", "Span"], "NDArray[np.float32] | None"]


class Span(NamedTuple):
    """A tile along one axis.

    Attributes:
        start: Its first pixel.
        stop: The pixel behind its last one; may lie outside of the image, which is then padded.
        first: The first pixel that it finishes: where it begins to fade in.
        last: The pixel behind the last one that it finishes: where it begins to fade out.
        fade: Length of its fading out (px), 0 at the end of the axis.
    """

    start: int
    stop: int
    first: int
    last: int
    fade: int


@dataclass(frozen=True)
class Grid:
    """Tiles of one size at multiples of one stride, anchored at pixel (0, 0); the last one may be smaller.

    Attributes:
        tile: Side of a tile (px).
        stride: Distance from one tile to the next (px).
        divisor: Sides of all tiles are multiples of this (px).
    """

    tile: int
    stride: int
    divisor: int = 1

    @classmethod
    def for_network(cls, limit: int, divisor: int) -> Grid:
        """Return the grid for a network that takes multiples of `divisor` px: tiles of at most `limit` px."""
        tile = max(divisor, limit // divisor * divisor)
        overlap = min(max(MIN_OVERLAP, tile // 16 // ALIGNMENT * ALIGNMENT), tile // 2)
        return cls(tile, tile - overlap, divisor)

    @property
    def overlap(self) -> int:
        """Pixels that neighbours share, and over which they are blended."""
        return self.tile - self.stride

    def spans(self, length: int) -> tuple[Span, ...]:
        """Return the tiles along an axis of `length` px, which cover it."""
        return _spans(self, length)

    def within(self, first: int, last: int, length: int) -> tuple[Span, ...]:
        """Return those tiles that contribute to the pixels from `first` to before `last`."""
        return tuple(s for s in self.spans(length) if s.first < last and s.last + s.fade > first)


@lru_cache(maxsize=64)
def _spans(grid: Grid, length: int) -> tuple[Span, ...]:
    divisor, overlap = grid.divisor, grid.overlap
    if length <= grid.tile:
        return (Span(0, _round_up(length, divisor), 0, length, 0),)
    count = -(-(length - overlap) // grid.stride)
    starts = [i * grid.stride for i in range(count)]
    # The last tile is cut down to what is left, and moved back rather than padded where that is too little.
    least = min(grid.tile, _round_up(min(MIN_LAST, grid.tile), divisor))
    size = min(grid.tile, max(least, _round_up(length - starts[-1], divisor)))
    back = _round_up(length - size, min(divisor, ALIGNMENT))
    starts[-1] = max(min(starts[-1], back), starts[-2] + overlap)
    stops = [start + grid.tile for start in starts[:-1]] + [starts[-1] + size]
    edges = [0]
    for stop, following in zip(stops[:-1], starts[1:], strict=True):
        edges.append(following + (stop - following - overlap) // 2)
    edges.append(length)
    fades = [overlap] * (count - 1) + [0]
    return tuple(Span(*values) for values in zip(starts, stops, edges[:-1], edges[1:], fades, strict=True))


@dataclass(frozen=True)
class Area:
    """A rectangle of pixels; `bottom` and `right` are not in it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left


class Block(NamedTuple):
    """Finished outputs of a rectangle of a large image.

    Attributes:
        area: The rectangle.
        margin: Rows above and columns left of it that `values` has in addition: those of its neighbours.
        values: float32 (outputs, margin[0] + height, margin[1] + width); None where there was no tile to run.
    """

    area: Area
    margin: tuple[int, int]
    values: NDArray[np.float32] | None


@lru_cache(maxsize=8)
def ramp(overlap: int) -> NDArray[np.float32]:
    """Return the weights with which a tile fades in, float32 (overlap,): half of a Hann window.

    Reversed, they are those with which its neighbour fades out: the two add up to 1.
    """
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(overlap) + 0.5) / max(overlap, 1))).astype(np.float32)


def fade(span: Span, overlap: int) -> NDArray[np.float32]:
    """Return a tile's weights along an axis, float32 (last + fade - first,)."""
    weights = np.ones(span.last + span.fade - span.first, np.float32)
    if span.first > 0:
        weights[:overlap] = ramp(overlap)
    if span.fade:
        weights[-span.fade :] = ramp(span.fade)[::-1]
    return weights


def blended_blocks(
    grid: Grid,
    size: tuple[int, int],
    cut: Cut,
    run: Run,
    area: Area | None = None,
    *,
    margin: int = 0,
) -> Iterator[Block]:
    """Run a network over an image of any size, and yield the blended outputs block by block.

    Blocks come row by row, one for each tile, and cover the area without overlap. Only one tile is in memory,
    with the rims that it shares with its neighbours: outputs of `overlap` rows over the whole width. Tiles
    lie on the grid whichever area is asked for, so an area's values are those of the whole image there.

    Args:
        grid: Where the tiles lie.
        size: Height and width of the image (px).
        cut: Gives the tile at (rows, columns), float32 (bands, h, w), or None for one with nothing in it.
            Called row by row.
        run: The network on a batch, float32 (1, bands, h, w) → (1, outputs, h, w).
        area: The part of the image that is wanted; None: all.
        margin: Rows and columns of the blocks above and to the left that each block has in addition.
    """
    area = area or Area(0, 0, *size)
    rim: NDArray[np.float32] | None = None  # (outputs, margin + overlap, area.width): left by the row above
    begun = 0  # rows of it that the row above has begun to blend
    for rows in grid.within(area.top, area.bottom, size[0]):
        top, bottom = max(rows.first, area.top), min(rows.last, area.bottom)
        end = min(rows.last + rows.fade, area.bottom)
        begun_at_left: NDArray[np.float32] | None = None  # columns that the tile at the left has begun
        beside: NDArray[np.float32] | None = None  # the last finished columns at the left
        for columns in grid.within(area.left, area.right, size[1]):
            left, right = max(columns.first, area.left), min(columns.last, area.right)
            block = Area(top, left, bottom, right)
            used = Area(top, left, end, min(columns.last + columns.fade, area.right))
            part = _run_tile(grid, rows, columns, cut, run, used)
            here = slice(left - area.left, max(left, right) - area.left)
            if part is None:
                begun_at_left = beside = None
                if rim is not None:
                    rim[:, :, here] = 0
                if bottom > top and right > left:
                    yield Block(block, (0, 0), None)
                continue
            if rim is None:
                rim = np.zeros((len(part), margin + grid.overlap, area.width), np.float32)
            if begun_at_left is not None:
                part[:, :, : begun_at_left.shape[2]] += begun_at_left
            begun_at_left = part[:, :, max(0, right - left) :].copy()
            if right <= left:
                continue
            part = part[:, :, : right - left]
            part[:, :begun] += rim[:, margin : margin + begun, here]
            finished = part[:, : max(0, bottom - top)]
            if finished.shape[1]:
                above, aside = (margin if top > area.top else 0), (margin if left > area.left else 0)
                values = np.concatenate([rim[:, :above, here], finished], axis=1) if above else finished
                if aside:
                    at_left = np.zeros((*values.shape[:2], margin), np.float32) if beside is None else beside
                    values = np.concatenate([at_left, values], axis=2)
                beside = _last(values.swapaxes(1, 2), margin).swapaxes(1, 2)
                yield Block(block, (above, aside), values)
                rim[:, :margin, here] = _last(values[:, :, aside:], margin)
            rest = part[:, finished.shape[1] :]
            rim[:, margin : margin + rest.shape[1], here] = rest
        begun = end - max(top, bottom)


def _last(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return a copy of the last rows of (outputs, rows, columns), with zeros above where there are fewer."""
    missing = max(0, count - values.shape[1])
    kept = values[:, values.shape[1] - count + missing :]
    return np.pad(kept, ((0, 0), (missing, 0), (0, 0)))


def _run_tile(
    grid: Grid, rows: Span, columns: Span, cut: Cut, run: Run, used: Area
) -> NDArray[np.float32] | None:
    """Run a tile, and return its outputs in `used`, times its weights, float32 (outputs, h, w)."""
    tile = cut(rows, columns)
    if tile is None:
        return None
    out = run(tile[None])[0]
    down = fade(rows, grid.overlap)[used.top - rows.first : used.bottom - rows.first]
    across = fade(columns, grid.overlap)[used.left - columns.first : used.right - columns.first]
    part: NDArray[np.float32] = out[
        :,
        used.top - rows.start : used.bottom - rows.start,
        used.left - columns.start : used.right - columns.start,
    ]
    if not part.flags.writeable or np.may_share_memory(part, tile):
        part = part.copy()
    _weigh(part, down, axis=1)
    _weigh(part, across, axis=2)
    return part


def _weigh(values: NDArray[np.float32], weights: NDArray[np.float32], *, axis: int) -> None:
    """Multiply (outputs, rows, columns) along an axis; weights are 1 but at its ends."""
    faded = np.flatnonzero(weights != 1)
    if not len(faded):
        return
    inner = np.flatnonzero(weights == 1)
    ends = [slice(0, inner[0]), slice(inner[-1] + 1, None)] if len(inner) else [slice(None)]
    for end in ends:
        here = (slice(None), end) if axis == 1 else (slice(None), slice(None), end)
        values[here] *= weights[end, None] if axis == 1 else weights[end]


def pad_to(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Pad float32 (bands, h, w) at the bottom and right by reflection to (bands, height, width)."""
    pads = ((0, 0), (0, height - image.shape[1]), (0, width - image.shape[2]))
    return image if not any(after for _, after in pads) else np.pad(image, pads, mode="reflect")


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
