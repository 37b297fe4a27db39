"""Reading ahead of the network and writing behind it, one strip or block at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sat2map.geo.gdal import thread_env
from sat2map.geo.raster import Raster
from sat2map.images.pixels import to_unit
from sat2map.inference.tiling import Area, Grid, Span, pad_to

Strip = tuple[NDArray[np.uint8], NDArray[np.uint8]]
T = TypeVar("T")


def gdal_thread(name: str) -> ThreadPoolExecutor:
    """Return a thread with GDAL's settings for all that it runs."""
    return ThreadPoolExecutor(1, name, initializer=lambda: thread_env().__enter__())


def fill_nodata(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a tile with the mean colour of its pixels wherever there are none.

    The network would draw an edge to black or white as if it were on the ground.

    Args:
        pixels: uint8 (bands, h, w).
        mask: uint8 (h, w), 0 where there is nothing; not everywhere.
    """
    there = mask > 0
    if there.all():
        return pixels
    mean = pixels[:, there].mean(axis=1).round().astype(np.uint8)
    return np.where(there, pixels, mean[:, None, None])


def cut_tile(
    pixels: NDArray[np.uint8], mask: NDArray[np.uint8], rows: Span, columns: Span
) -> NDArray[np.float32] | None:
    """Return a tile as the network takes it, float32 (bands, h, w) in [-1, 1]; None for one with no pixel.

    Args:
        pixels: What of the tile lies within the raster, uint8 (bands, h, w).
        mask: Its mask, uint8 (h, w).
        rows: The tile along the height.
        columns: The tile along the width.
    """
    if not mask.any():
        return None
    unit = to_unit(np.moveaxis(fill_nodata(pixels, mask), 0, -1))
    return pad_to(unit, rows.stop - rows.start, columns.stop - columns.start)


class StripReader(AbstractContextManager["StripReader"]):
    """Gives the tiles of a raster row by row, and reads the next row of tiles in a thread meanwhile."""

    def __init__(self, raster: Raster, grid: Grid, area: Area) -> None:
        """Begin to read.

        Args:
            raster: On the network's grid.
            grid: Where the tiles lie.
            area: What of the raster is wanted.
        """
        self._raster = raster
        size = raster.grid
        columns = grid.within(area.left, area.right, size.width)
        self._left, self._right = columns[0].start, min(columns[-1].stop, size.width)
        self._rows = iter(grid.within(area.top, area.bottom, size.height))
        self._here: Span | None = None
        self._strip: Strip
        self._masks: deque[tuple[int, NDArray[np.uint8]]] = deque(maxlen=2)  # first row, and the mask
        self._pool = gdal_thread("read")
        self._ahead = self._read_next()

    def cut(self, rows: Span, columns: Span) -> NDArray[np.float32] | None:
        """Return a tile (see `cut_tile`)."""
        if rows != self._here:
            assert self._ahead is not None
            (self._here, self._strip), self._ahead = self._ahead.result(), None
            assert rows == self._here
            self._masks.append((rows.start, self._strip[1]))
            self._ahead = self._read_next()
        pixels, mask = self._strip
        here = slice(columns.start - self._left, columns.stop - self._left)
        return cut_tile(pixels[:, :, here], mask[:, here], rows, columns)

    def mask(self, area: Area) -> NDArray[np.uint8]:
        """Return the mask of a block of this row of tiles or of the one before, on the network's grid."""
        top, mask = next(it for it in self._masks if it[0] <= area.top and area.bottom <= it[0] + len(it[1]))
        return mask[area.top - top : area.bottom - top, area.left - self._left : area.right - self._left]

    def call(self, read: Callable[[], T]) -> T:
        """Read something else of the same file: one thread at a time may."""
        return self._pool.submit(read).result()

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _read_next(self) -> Future[tuple[Span, Strip]] | None:
        rows = next(self._rows, None)
        return None if rows is None else self._pool.submit(self._read, rows)

    def _read(self, rows: Span) -> tuple[Span, Strip]:
        area = Area(rows.start, self._left, min(rows.stop, self._raster.grid.height), self._right)
        return rows, (self._raster.read(area), self._raster.read_mask(area))


class BackgroundWriter(AbstractContextManager["BackgroundWriter"]):
    """Runs one function call at a time in a thread; what goes wrong there is raised at the next call."""

    def __init__(self) -> None:
        self._pool = gdal_thread("write")
        self._running: Future[None] | None = None

    def submit(self, call: Callable[[], None]) -> None:
        """Wait for the last call, and start this one."""
        self.wait()
        self._running = self._pool.submit(call)

    def wait(self) -> None:
        """Wait for the last call."""
        if self._running is not None:
            self._running.result()
            self._running = None

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()
