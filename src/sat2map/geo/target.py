"""Reads the map of a data set, a raster on any grid, on the grid of its orthophoto."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.windows import Window

from sat2map.errors import DataError
from sat2map.geo.gdal import FAILURES, reason
from sat2map.geo.grid import GeoGrid
from sat2map.geo.samples import find_bands, find_mask, warped, without_alpha
from sat2map.images.bands import band_meanings
from sat2map.images.vrt import plain_samples
from sat2map.inference.tiling import Area

Target = Callable[[Area], tuple[NDArray[np.uint8], NDArray[np.bool_]]]
"""Returns a rectangle of a map, uint8 (bands, h, w), and which of its pixels are valid, bool (h, w)."""

MAX_CLASS = 254  # 255 marks pixels that are ignored


@contextlib.contextmanager
def open_target(target: str | Path, grid: GeoGrid, notes: list[str]) -> Iterator[Target]:
    """Yield a function that reads a map raster on a grid.

    A single band holds class numbers, of whatever type, and keeps them; a palette becomes its colours; three
    bands and more are colours, of which alpha and infrared are none.

    Raises:
        DataError: It cannot be read, has no CRS, or holds numbers that are neither classes nor colours.
    """
    name = str(target)
    try:
        with contextlib.ExitStack() as stack:
            stored = stack.enter_context(rasterio.open(target))
            if grid.crs is None or stored.crs is None:
                which = "the orthophoto" if grid.crs is None else name
                raise DataError(
                    f"{which} has no CRS, so the two cannot be laid over each other", hint="give it one first"
                )
            meanings = band_meanings(stored)
            has_palette = ColorInterp.palette in stored.colorinterp and _is_coloured(stored)
            numbers = len([meaning for meaning in meanings if meaning != "alpha"]) == 1 and not has_palette
            dataset = stored if numbers else stack.enter_context(plain_samples(stored))
            bands = (1,) if numbers else find_bands(dataset, None, 3, name, notes)
            dtypes = {dataset.dtypes[band - 1] for band in bands}
            if not numbers and dtypes != {"uint8"}:
                raise DataError(
                    f"{name} holds colours of {', '.join(sorted(dtypes))}",
                    hint="a map raster has 8 bits per band; convert it first",
                )
            mask = find_mask(dataset, bands, name, notes)
            coarser = abs(grid.transform.determinant) > abs(stored.transform.determinant)
            blend = Resampling.average if coarser else Resampling.bilinear
            vrt, mask = warped(
                stack.enter_context(without_alpha(dataset, mask)),
                mask,
                resampling=Resampling.nearest if numbers or has_palette else blend,
                crs=grid.crs,
                transform=grid.transform,
                height=grid.height,
                width=grid.width,
            )
            stack.enter_context(vrt)

            def read(area: Area) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
                window = Window(area.left, area.top, area.width, area.height)
                values = vrt.read(bands, window=window)
                valid = mask.read(vrt, values, window=window) == 255
                return _as_bytes(values, valid, name), valid

            yield read
    except FAILURES as error:
        raise DataError(f"{name} cannot be read as a map raster ({reason(error)})") from None


def _is_coloured(dataset: rasterio.DatasetReader) -> bool:
    """Whether a palette holds colours: GDAL gives one of greys to bands of 1 bit."""
    try:
        table = dataset.colormap(1)
    except ValueError:
        return False
    return any(not red == green == blue for red, green, blue, _ in table.values()) or len(table) > 2


def _as_bytes(values: NDArray[np.generic], valid: NDArray[np.bool_], name: str) -> NDArray[np.uint8]:
    """Return class numbers as bytes, 0 where they are not valid.

    Raises:
        DataError: One is no whole number from 0 to 254.
    """
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    known = np.where(valid, values, np.zeros(1, values.dtype))
    wrong = ~((known >= 0) & (known <= MAX_CLASS) & (known == np.floor(known)))
    if wrong.any():
        raise DataError(
            f"{name} holds {known[wrong][0]:g} ({values.dtype}), which is no class number",
            hint=f"classes are whole numbers from 0 to {MAX_CLASS}; renumber them, or mark this as nodata",
        )
    return known.astype(np.uint8)
