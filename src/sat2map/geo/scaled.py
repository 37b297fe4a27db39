"""Reading a raster without nodata in pixels of another size: GDAL's cubic filter, by Pillow and faster."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sat2map.inference.tiling import Area

if TYPE_CHECKING:
    from sat2map.geo.raster import Raster

ROWS: Final = 64  # px of the coarser grid that are read at a time
COLUMNS: Final = 512  # px that are resampled at a time
BESIDE: Final = 8192  # pixels of the raster that are read beside each other: GDAL caches a row of blocks
_REACH: Final = 2  # pixels of the coarser grid to each side of a centre that the cubic filter weighs


def read_scaled(raster: Raster, across: float, down: float, area: Area) -> NDArray[np.uint8]:
    """Read a rectangle of the grid of pixels `across` times as wide and `down` times as high.

    The filter is as wide as the coarser pixels are, so nothing aliases. Where the last pixel lies partly
    beyond the raster, the raster's last rows and columns are repeated. Rows are resampled in a thread while
    the next ones are read: nothing else can run before the first tile is there.

    Args:
        raster: Without a mask.
        across: Width of the pixels in pixels of the raster.
        down: Their height.
        area: In such pixels.

    Returns:
        uint8 (bands, h, w).
    """
    out = np.empty((len(raster.bands), area.height, area.width), np.uint8)
    width = max(1, int(BESIDE / across / COLUMNS)) * COLUMNS

    def put(resample: Callable[[], NDArray[np.uint8]], strip: Area) -> None:
        here = strip.within(area)
        there, here = here.moved(-strip.top, -strip.left), here.moved(-area.top, -area.left)
        out[:, here.rows, here.columns] = resample()[:, there.rows, there.columns]

    with ThreadPoolExecutor(1, thread_name_prefix="resample") as pool:
        running: Future[None] | None = None
        for begin in range(area.left // COLUMNS * COLUMNS, area.right, width):
            left, right = max(begin, area.left), min(begin + width, area.right)
            for top in range(area.top // ROWS * ROWS, area.bottom, ROWS):
                strip = Area(top, left, top + ROWS, right)
                resample = _read_rows(raster, across, down, strip)
                if running is not None:
                    running.result()
                running = pool.submit(put, resample, strip)
        if running is not None:
            running.result()
    return out


def _read_rows(raster: Raster, across: float, down: float, area: Area) -> Callable[[], NDArray[np.uint8]]:
    """Read `ROWS` rows, in whole pieces of `COLUMNS`, and return what resamples them.

    Pillow rounds positions within a piece: so a pixel is the same in whichever rectangle it is read.
    """
    begin, end = area.left // COLUMNS * COLUMNS, -(-area.right // COLUMNS) * COLUMNS
    above, below = _seen(area.top, area.bottom, down, raster.grid.height)
    left, right = _seen(begin, end, across, raster.grid.width)
    pixels = raster.read(Area(above, left, below, right))
    pads = [math.ceil(last * factor) - stop for last, factor, stop in
            ((area.bottom, down, below), (end, across, right))]  # fmt: skip
    if max(pads) > 0:
        pixels = np.pad(pixels, ((0, 0), *((0, max(0, pad)) for pad in pads)), mode="edge")

    def resample() -> NDArray[np.uint8]:
        pieces = []
        for column in range(begin, end, COLUMNS):
            start, stop = _seen(column, column + COLUMNS, across, left + pixels.shape[2])
            part = pixels[:, :, start - left : stop - left]
            box = (
                column * across - start,
                area.top * down - above,
                min((column + COLUMNS) * across - start, part.shape[2]),
                min(area.bottom * down - above, part.shape[1]),
            )
            pieces.append([_resize(band, box) for band in part])
        return np.concatenate(pieces, axis=2)[:, :, area.left - begin : area.right - begin]

    return resample


def _seen(first: int, last: int, factor: float, length: int) -> tuple[int, int]:
    """Return which of `length` pixels of the raster some pixels of the coarser grid are made of."""
    reach = _REACH * max(1.0, factor)
    return max(0, math.floor(first * factor - reach)), min(length, math.ceil(last * factor + reach))


def _resize(band: NDArray[np.uint8], box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    image = Image.fromarray(np.ascontiguousarray(band))
    return np.asarray(image.resize((COLUMNS, ROWS), Image.Resampling.BICUBIC, box=box))
