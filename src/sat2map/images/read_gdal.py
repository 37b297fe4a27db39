"""Reads images with GDAL whose samples Pillow would shorten, drop or refuse: TIFF, and PNG of 16 bits."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from sat2map.errors import ImageError
from sat2map.images.bands import COLOURS, band_meanings, choose_bands, default_names
from sat2map.images.levels import Stretch, reject_complex, to_8_bits
from sat2map.images.limits import check_size
from sat2map.images.masks import PixelMask
from sat2map.images.picture import Picture, damaged
from sat2map.images.tiff import page_directories
from sat2map.images.vrt import plain_samples


def read_with_gdal(
    path: Path, file: IO[bytes], page: int, stretch: Stretch, *, tiff: bool, bands: int
) -> Picture:
    """Decode a page, from 1, of a TIFF or PNG as it is stored, not turned; overviews and masks are no pages.

    Raises:
        ImageError: It is damaged, its samples are complex, or it has too few bands.
    """
    name = getattr(file, "name", None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=64 * 2**20))
        try:
            if not isinstance(name, str):
                file.seek(0)
                name = stack.enter_context(rasterio.MemoryFile(file.read())).name
            if page > 1:  # GDAL counts overviews and masks as well
                name = f"GTIFF_DIR:{page_directories(file)[page - 1]}:{name}"
            # Of this format only: another one of GDAL's could read other files, or the network.
            stored = stack.enter_context(rasterio.open(name, driver="GTiff" if tiff else "PNG"))
            return _decode(stack.enter_context(plain_samples(stored)), path, bands, stretch)
        except (CPLE_BaseError, RasterioError) as error:
            raise damaged(path, error) from None


def _decode(dataset: Any, path: Path, count: int, stretch: Stretch) -> Picture:
    for dtype in dataset.dtypes:
        reject_complex(dtype, path)
    meanings = band_meanings(dataset)
    colours = [meaning for meaning in meanings if meaning != "alpha"]
    wanted: tuple[str, ...]
    if count in (1, 3):
        wanted = ("grey",) if len(colours) < 3 else COLOURS
    elif len(colours) < count:
        raise ImageError(f"{path} has {len(colours)} bands where {count} are needed")
    else:
        wanted = default_names(count)
    bands, note = choose_bands(meanings, wanted, path)
    size = max(np.dtype(dataset.dtypes[band - 1]).itemsize for band in bands)
    check_size(path, dataset.height, dataset.width, (size + 1) * len(bands) + 4)
    mask = PixelMask.of(dataset, bands, path)
    values = dataset.read(bands)
    alpha = mask.read(dataset, values)
    notes = [*mask.notes, *([note] if note else [])]
    stretched = any(dataset.dtypes[band - 1] != "uint8" for band in bands)
    if not stretched:
        levels = values
    else:
        limits, measured = stretch(values, alpha > 0, path)
        levels = to_8_bits(values, limits)
        notes += [measured] if measured else []
    pixels = np.ascontiguousarray(np.moveaxis(levels, 0, -1))
    return Picture(pixels, None if (alpha == 255).all() else alpha, tuple(notes), stretched)
