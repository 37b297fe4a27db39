"""Reads images with GDAL whose samples Pillow would shorten, drop or refuse: TIFF, and PNG of 16 bits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np

from sat2map.errors import ImageError, MissingExtraError
from sat2map.images.bands import COLOURS, band_meanings, choose_bands, default_names
from sat2map.images.levels import Stretch, reject_complex, to_8_bits
from sat2map.images.limits import check_size
from sat2map.images.masks import PixelMask
from sat2map.images.read import Picture
from sat2map.images.vrt import plain_vrt


def read_with_gdal(
    path: Path, file: IO[bytes], page: int, stretch: Stretch, *, tiff: bool, bands: int = 3
) -> Picture:
    """Decode a page, from 1, of a TIFF or PNG as it is stored, not turned; overviews and masks are no pages.

    Raises:
        ImageError: It is damaged, its samples are complex, or it has too few bands.
        MissingExtraError: rasterio is missing.
    """
    try:
        import rasterio
        from rasterio._err import CPLE_BaseError
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError:
        raise MissingExtraError(f"{path}, with samples that are not plain 8 bits,", "geo") from None
    name = getattr(file, "name", None)
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=64 * 2**20):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            if isinstance(name, str):
                return _read(rasterio, path, name, page, stretch, tiff=tiff, bands=bands)
            file.seek(0)
            with rasterio.MemoryFile(file.read()) as memory:
                return _read(rasterio, path, memory.name, page, stretch, tiff=tiff, bands=bands)
        except (CPLE_BaseError, RasterioError) as error:
            raise _error(path, error) from None


def _read(
    rasterio: Any, path: Path, name: str, page: int, stretch: Stretch, *, tiff: bool, bands: int
) -> Picture:
    # Of this format only: another one of GDAL's could read other files, or the network.
    driver = "GTiff" if tiff else "PNG"
    if page > 1:
        name = f"GTIFF_DIR:{_directory(name, page)}:{name}"
    with rasterio.open(name, driver=driver) as stored:
        plain = plain_vrt(stored)
        if plain is None:
            return _decode(stored, path, bands, stretch)
        with rasterio.open(plain) as dataset:
            return _decode(dataset, path, bands, stretch)


def _directory(name: str, page: int) -> int:
    """Return the number that GDAL gives a page: it counts overviews and masks as well."""
    from sat2map.images.tiff import page_directories

    with Path(name).open("rb") as file:
        return page_directories(file)[page - 1]


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


def _error(path: Path, error: BaseException) -> ImageError:
    while error.__cause__ is not None:
        error = error.__cause__
    reason = " ".join(str(error).split()).rstrip(".")
    return ImageError(f"{path} cannot be decoded ({reason})", hint="it is damaged, fetch or export it again")
