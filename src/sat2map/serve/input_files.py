"""Owns translating a stranger's file into a file: pictures in memory, rasters strip by strip."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from sat2map.errors import ImageError, Sat2MapError
from sat2map.extras import require_geo
from sat2map.geo.detect import is_raster
from sat2map.images.pixels import Picture, read_image, read_size, with_bands, write_image
from sat2map.inference import Translator
from sat2map.inference.scale import ScaledTranslator
from sat2map.serve.batching import Progress
from sat2map.serve.http_errors import UnsupportedFormatError
from sat2map.serve.uploads import check_size, recognise

Kind = Literal["picture", "raster"]
RESULTS: dict[Kind, str] = {"picture": "map.png", "raster": "map.tif"}


class Inspected(NamedTuple):
    """What an upload is, before anything of it has been decoded.

    Attributes:
        path: The file, which now has the suffix of its format.
        kind: A plain picture, or a raster on the ground.
        height: Rows.
        width: Columns.
    """

    path: Path
    kind: Kind
    height: int
    width: int


def inspect_file(path: Path, *, picture_pixels: int, raster_pixels: int) -> Inspected:
    """Tell what an upload is, and rename it by that.

    Raises:
        UnsupportedFormatError: It is of a format that is not opened here.
        TooManyPixelsError: It is too large.
        ImageError: It is damaged.
    """
    with path.open("rb") as file:
        form = recognise(file.read(16))
    named = path.rename(path.with_name(f"source.{'tif' if form == 'tiff' else form}"))
    if form == "tiff" and is_raster(str(named)):
        height, width = _raster_size(named)
        check_size(height, width, raster_pixels)
        return Inspected(named, "raster", height, width)
    try:
        height, width = read_size(named)
    except ImageError as error:
        raise _nameless(error, named) from None
    check_size(height, width, picture_pixels)
    return Inspected(named, "picture", height, width)


def read_file(upload: Inspected) -> Picture:
    """Return what a browser can show of a file that `inspect_file` has let through.

    Raises:
        ImageError: The file is damaged, or no picture.
    """
    try:
        if upload.kind == "picture":
            return read_image(upload.path)
        from sat2map.geo.gdal import gdal_env
        from sat2map.geo.read import open_raster

        with gdal_env(), open_raster(upload.path, bands=None, count=3) as raster:
            mask = raster.read_mask(raster.grid.whole)
            pixels = np.ascontiguousarray(np.moveaxis(raster.read(raster.grid.whole), 0, -1))
            return Picture(pixels, None if mask.all() else mask)
    except Sat2MapError as error:
        raise _nameless(error, upload.path) from None


def translate_file(
    translator: Translator,
    source: Path,
    output: Path,
    kind: Kind,
    model: tuple[str, str],
    progress: Progress,
    *,
    gsd: float | None = None,
) -> None:
    """Translate a file that `inspect_file` has let through.

    A raster goes on from the rows that an earlier, interrupted call has left beside `output`.

    Args:
        translator: The model.
        source: What was uploaded.
        output: Where to; a PNG for a picture, a Cloud-Optimized GeoTIFF for a raster.
        kind: What `source` is.
        model: The model's name and SHA-256, for the tags of a raster.
        progress: Called with tiles done and tiles in all; what it raises ends the work.
        gsd: Ground size of a picture's pixels (m), where it is known; a raster knows its own.

    Raises:
        ImageError: The file is damaged, or nothing that this model takes.
        OutputError: The result cannot be written.
    """
    try:
        if kind == "raster":
            from sat2map.geo.raster_job import RasterOptions
            from sat2map.geo.translate_raster import translate_raster

            options = RasterOptions(overwrite=True, resume=True)
            translate_raster(translator, source, output, options, model=model, progress=progress)
            return
        picture = read_image(source)
        pixels = with_bands(picture.pixels, translator.header.generator.source_bands, source)
        scaled = translator if gsd is None else ScaledTranslator(translator, gsd)
        write_image(output, scaled(pixels, progress), picture.alpha)
    except Sat2MapError as error:
        raise _nameless(error, source) from None


def _raster_size(path: Path) -> tuple[int, int]:
    require_geo("a GeoTIFF")
    import rasterio

    from sat2map.geo.gdal import FAILURES

    try:
        # Of this format only: another one of GDAL's could read other files, or the network.
        with rasterio.open(path, driver="GTiff") as dataset:
            if dataset.driver != "GTiff" or dataset.subdatasets:
                raise UnsupportedFormatError("this TIFF holds several pictures: send one of them")
            return dataset.height, dataset.width
    except FAILURES:
        raise ImageError("the image cannot be decoded: it is damaged, fetch or export it again") from None


def _nameless(error: Sat2MapError, path: Path) -> Sat2MapError:
    """Return an error without the name of our file, and without advice for the command line."""
    words = str(error).replace(str(path), "the image")
    return type(error)(re.sub(r"[;:,] [^;:,]*--[a-z].*$", "", words))
