"""Tiles of a large image: where they lie, and how they overlap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Of tiles of 512 px: with no overlap the gradient at a seam is 2.3 times that elsewhere, with 32 px below 1.
MIN_OVERLAP = 32  # px
MIN_LAST = 256  # px; a shorter tile at the end of an axis would see too little around its pixels
ALIGNMENT = 32  # px; a strided network gives the same pixels again only when moved by whole strides


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

    @property
    def rows(self) -> slice:
        """Its rows in an array."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """Its columns in an array."""
        return slice(self.left, self.right)

    def moved(self, down: int, right: int) -> Area:
        """Return the rectangle as many pixels further down and to the right."""
        return Area(self.top + down, self.left + right, self.bottom + down, self.right + right)

    def within(self, other: Area) -> Area:
        """Return what of it lies in another one; nothing is an area in there of no height or width."""
        top = min(max(self.top, other.top), other.bottom)
        left = min(max(self.left, other.left), other.right)
        return Area(
            top, left, max(top, min(self.bottom, other.bottom)), max(left, min(self.right, other.right))
        )

    def around(self, other: Area) -> list[Area]:
        """Return what of another one, which contains it, lies above, below, left and right of it."""
        return [
            Area(other.top, other.left, self.top, other.right),
            Area(self.bottom, other.left, other.bottom, other.right),
            Area(self.top, other.left, self.bottom, self.left),
            Area(self.top, self.right, self.bottom, other.right),
        ]


def pad_to(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Pad float32 (bands, h, w) at the bottom and right by reflection to (bands, height, width)."""
    pads = ((0, 0), (0, height - image.shape[1]), (0, width - image.shape[2]))
    return image if not any(after for _, after in pads) else np.pad(image, pads, mode="reflect")


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
