"""Owns what surrounds the network in a raster: one strip is read ahead of it, one is written behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from sat2map.geo.gdal import thread_env
from sat2map.geo.read import Raster
from sat2map.images.pixels import to_unit
from sat2map.inference.tiling import Area, Grid, pad_to

Strip = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class StripReader(AbstractContextManager["StripReader"]):
    """Gives the tiles of a raster row by row, and reads the next row of tiles in a thread meanwhile."""

    def __init__(self, raster: Raster, grid: Grid, area: Area) -> None:
        self._raster, self._grid, self._area = raster, grid, area
        size = raster.grid
        lefts = grid.within(area.left, area.right, size.width)
        self._left, self._right = lefts[0], min(lefts[-1] + grid.tile, size.width)
        self._tops = iter(grid.within(area.top, area.bottom, size.height))
        self._top = -1
        self._strip: Strip
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="read")
        self._ahead = self._read_next()

    def cut(self, top: int, left: int) -> NDArray[np.float32] | None:
        """Return the tile at (top, left), float32 (bands, tile, tile) in [-1, 1]; None for one with no pixel.

        Pixels that are not there take the mean colour of those that are: an edge to black would be drawn.
        """
        if top != self._top:
            assert self._ahead is not None
            (self._top, self._strip), self._ahead = self._ahead.result(), None
            assert top == self._top
            self._ahead = self._read_next()
        pixels, mask = self._strip
        columns = slice(left - self._left, left - self._left + self._grid.tile)
        there = mask[:, columns] > 0
        if not there.any():
            return None
        tile = pixels[:, :, columns]
        if not there.all():
            mean = tile[:, there].mean(axis=1).round().astype(np.uint8)
            tile = np.where(there, tile, mean[:, None, None])
        return pad_to(to_unit(np.moveaxis(tile, 0, -1)), self._grid.tile, self._grid.tile)

    def mask(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return the mask of finished rows, uint8 (rows, area's width); they lie in the strip at hand."""
        columns = slice(self._area.left - self._left, self._area.right - self._left)
        return self._strip[1][top - self._top : bottom - self._top, columns]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _read_next(self) -> Future[tuple[int, Strip]] | None:
        top = next(self._tops, None)
        return None if top is None else self._pool.submit(self._read, top)

    def _read(self, top: int) -> tuple[int, Strip]:
        area = Area(top, self._left, min(top + self._grid.tile, self._raster.grid.height), self._right)
        with thread_env():
            return top, (self._raster.read(area), self._raster.read_mask(area))


class BackgroundWriter(AbstractContextManager["BackgroundWriter"]):
    """Runs one function call at a time in a thread; what goes wrong there is raised at the next call."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._running: Future[None] | None = None

    def submit(self, call: Callable[[], None]) -> None:
        """Wait for the last call, and start this one."""
        self.wait()
        self._running = self._pool.submit(self._run, call)

    def wait(self) -> None:
        """Wait for the last call."""
        if self._running is not None:
            self._running.result()
            self._running = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    @staticmethod
    def _run(call: Callable[[], None]) -> None:
        with thread_env():
            call()


def in_pieces(height: int, rows: int = 64) -> Iterator[slice]:
    """Yield slices of a few rows each, for work whose intermediate results would be large."""
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))
