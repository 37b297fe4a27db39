"""Owns cutting a large image into overlapping tiles and blending the results without seams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_OVERLAP = 32  # px; below this, borders show (gradient there 2.3 times that elsewhere at no overlap)

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Cut = Callable[[int, int], "NDArray[np.float32] | None"]


@dataclass(frozen=True)
class Grid:
    """Tiles of one size at multiples of one stride, anchored at pixel (0, 0).

    Attributes:
        tile: Side of a tile (px).
        stride: Distance from one tile to the next (px).
    """

    tile: int
    stride: int

    @classmethod
    def for_network(cls, limit: int, multiple: int) -> Grid:
        """Return the grid for a network that takes multiples of `multiple` px: tiles of at most `limit` px.

        The stride is such a multiple too where that leaves overlap enough: a strided network gives the same
        pixels again only when it is moved by whole multiples.
        """
        tile = max(multiple, limit // multiple * multiple)
        overlap = min(max(MIN_OVERLAP, tile // 4), tile // 2)
        aligned = (tile - overlap) // multiple * multiple
        return cls(tile, aligned if aligned >= tile // 2 else tile - overlap)

    def starts(self, length: int) -> range:
        """Return where tiles start along an axis, so that every pixel is covered."""
        count = 1 if length <= self.tile else -(-(length - self.tile) // self.stride) + 1
        return range(0, count * self.stride, self.stride)

    def within(self, first: int, last: int, length: int) -> range:
        """Return those starts whose tiles reach into the pixels from `first` to before `last`."""
        starts = self.starts(length)
        return starts[max(0, (first - self.tile) // self.stride + 1) : -(-last // self.stride)]


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


class Rows(NamedTuple):
    """Finished rows of a large picture.

    Attributes:
        top: Number of the first one.
        bottom: Number of the one behind the last.
        values: float32 (out, bottom - top, width), overwritten when the next rows are asked for; None where
            no tile had anything to translate.
    """

    top: int
    bottom: int
    values: NDArray[np.float32] | None


@lru_cache(maxsize=8)
def ramp(tile: int, stride: int) -> NDArray[np.float32]:
    """Return the weights of a tile along one axis, float32 (tile,): Hann ramps over the overlap, 1 between.

    Two neighbours' ramps add up to 1 wherever they meet.
    """
    overlap = min(tile - stride, stride)
    rising = 0.5 - 0.5 * np.cos(np.pi * (np.arange(overlap) + 0.5) / max(overlap, 1))
    weights = np.ones(tile)
    weights[:overlap] = rising
    weights[stride : stride + overlap] = rising[::-1]
    weights[stride + overlap :] = 0
    return weights.astype(np.float32)


def edge_ramp(grid: Grid, start: int, length: int) -> NDArray[np.float32]:
    """Return the weights of the tile at `start` on an axis of `length` px: a `ramp`, but flat at the ends.

    There it has no neighbour to share with. So all tiles' weights add up to 1 at every pixel.
    """
    weights = ramp(grid.tile, grid.stride).copy()
    if start == 0:
        weights[: min(grid.tile - grid.stride, grid.stride)] = 1
    if start == grid.starts(length)[-1]:
        weights[grid.stride :] = 1
    return weights


def blended_rows(
    grid: Grid, size: tuple[int, int], cut: Cut, run: Run, area: Area | None = None
) -> Iterator[Rows]:
    """Run a network over a picture of any size, and yield the blended result from top to bottom.

    Only one row of tiles is held. Tiles lie on the grid whichever area is asked for, so an area's values are
    those that the whole picture has there.

    Args:
        grid: Where the tiles lie.
        size: Height and width of the picture (px).
        cut: Gives the tile at (top, left), float32 (bands, tile, tile), or None for one with nothing in it.
            Called row by row.
        run: The network on a batch, float32 (1, bands, tile, tile) → (1, out, tile, tile).
        area: What of the picture is wanted; None: all.
    """
    height, width = size
    area = area or Area(0, 0, height, width)
    tops, lefts = grid.within(area.top, area.bottom, height), grid.within(area.left, area.right, width)
    held: NDArray[np.float32] | None = None  # (out, tile, area.width), of the rows from `top` on
    for top in tops:
        down = edge_ramp(grid, top, height)
        for left in lefts:
            tile = cut(top, left)
            if tile is None:
                continue
            out = run(tile[None])[0]
            if held is None:
                held = np.zeros((len(out), grid.tile, area.width), np.float32)
            across = edge_ramp(grid, left, width)
            here, there = slice(max(left, area.left), min(left + grid.tile, area.right)), left
            columns = slice(here.start - there, here.stop - there)
            weights = np.outer(down, across[columns])
            held[:, :, here.start - area.left : here.stop - area.left] += out[:, :, columns] * weights
        finished = grid.tile if top == tops[-1] else grid.stride
        first, last = max(top, area.top), min(top + finished, area.bottom)
        if first < last:
            yield Rows(first, last, None if held is None else held[:, first - top : last - top])
        if held is not None:
            held[:, :-finished] = held[:, finished:]
            held[:, -finished:] = 0


def translate_tiled(
    source: NDArray[np.float32], grid: Grid, run: Run, progress: Callable[[], None]
) -> NDArray[np.float32]:
    """Run a network over an image in memory, tile by tile, and blend.

    Args:
        source: float32 (bands, h, w) in [-1, 1].
        grid: Where the tiles lie.
        run: The network on a batch, float32 (1, bands, tile, tile) → (1, out, tile, tile).
        progress: Called after each tile.

    Returns:
        float32 (out, h, w).
    """

    def cut(top: int, left: int) -> NDArray[np.float32]:
        return pad_to(source[:, top : top + grid.tile, left : left + grid.tile], grid.tile, grid.tile)

    def run_and_tell(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        out = run(batch)
        progress()
        return out

    _, height, width = source.shape
    total: NDArray[np.float32] | None = None
    for rows in blended_rows(grid, (height, width), cut, run_and_tell):
        assert rows.values is not None
        if total is None:
            total = np.empty((len(rows.values), height, width), np.float32)
        total[:, rows.top : rows.bottom] = rows.values
    assert total is not None
    return total


def tiles(grid: Grid, height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield (top, left) of each tile, row by row."""
    for top in grid.starts(height):
        for left in grid.starts(width):
            yield top, left


def pad_to(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Pad float32 (bands, h, w) at the bottom and right by reflection to (bands, height, width)."""
    pads = ((0, 0), (0, height - image.shape[1]), (0, width - image.shape[2]))
    return image if not any(after for _, after in pads) else np.pad(image, pads, mode="reflect")
