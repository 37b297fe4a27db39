"""Uploaded files: what each is, reading it, and translating it into a file."""

from __future__ import annotations

import contextlib
import logging
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from sat2map.errors import ImageError
from sat2map.extras import require_geo
from sat2map.geo.detect import is_raster
from sat2map.images.levels import use_limits
from sat2map.images.pixels import Picture, with_bands, write_image
from sat2map.inference import Translator
from sat2map.inference.scale import ScaledTranslator
from sat2map.models.model_file import ModelHeader
from sat2map.serve.batch_queue import Progress
from sat2map.serve.decoder import Decoder, hiding
from sat2map.serve.http_errors import TooManyPixelsError, UnsupportedFormatError
from sat2map.serve.pictures import ALL, Part, for_clients, read_picture
from sat2map.serve.serve_settings import MIB
from sat2map.serve.uploads import check_size, sniff_format

_log = logging.getLogger("sat2map.serve")
Kind = Literal["picture", "raster"]
_ITEM_SIZES: Final = {"complex_int16": 4}  # types of GDAL that NumPy lacks
MAX_BLOCK: Final = 256 * MIB  # bytes of a decoded strip or tile of a TIFF
RESULTS: dict[Kind, str] = {"picture": "map.png", "raster": "map.tif"}


class Inspected(NamedTuple):
    """What an upload is, from its header; the file has the suffix of its format, and its size is in px."""

    path: Path
    kind: Kind
    height: int
    width: int


def inspect_file(path: Path, decoder: Decoder, picture_pixels: int, raster_pixels: int) -> Inspected:
    """Find out what an upload is, and give it the suffix of its format.

    Raises:
        UnsupportedFormatError: Its format is not supported.
        TooManyPixelsError: It is too large.
        ImageError: It is damaged.
    """
    with path.open("rb") as file:
        form = sniff_format(file.read(16))
    with reading_untrusted():
        named = path.rename(path.with_name(f"source.{'tif' if form == 'tiff' else form}"))
        kind: Kind = "raster" if form == "tiff" and is_raster(str(named)) else "picture"
        height, width = _raster_size(named) if kind == "raster" else decoder.size(named)
        check_size(height, width, raster_pixels if kind == "raster" else picture_pixels)
        return Inspected(named, kind, height, width)


@contextlib.contextmanager
def reading_untrusted() -> Iterator[None]:
    """Turn what damaged files make decoders raise into an ImageError; the log has the traceback."""
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        struct.error,
        RecursionError,
    ):
        _log.exception("an uploaded file could not be read")
        raise ImageError("the image cannot be decoded: it is damaged, or of an unusual kind") from None


def read_file(upload: Inspected, decoder: Decoder, header: ModelHeader, part: Part = ALL) -> Picture:
    """Return the 8-bit pixels of an inspected file, as the model sees them.

    Raises:
        ImageError: The file is damaged, or no picture.
    """
    from sat2map.geo.gdal import gdal_env
    from sat2map.geo.read import open_raster

    with hiding(upload.path):
        if upload.kind == "picture":
            return read_picture(decoder, upload.path, (upload.height, upload.width), header, part)
        count, stretch = header.generator.source_bands, use_limits(header.limits)
        opened = open_raster(upload.path, bands=None, count=count, stretch=stretch)
        with reading_untrusted(), gdal_env(), opened as raster:
            mask = raster.read_mask(raster.grid.whole)
            pixels = np.ascontiguousarray(np.moveaxis(raster.read(raster.grid.whole), 0, -1))
            return Picture(pixels, None if mask.all() else mask, for_clients(raster.notes, upload.path))


def translate_file(
    translator: Translator,
    upload: Inspected,
    output: Path,
    model: tuple[str, str],
    progress: Progress,
    decoder: Decoder,
    *,
    gsd: float | None = None,
    part: Part = ALL,
    sides: Collection[Literal["classes", "confidence"]] = (),
) -> tuple[str, ...]:
    """Translate an inspected file.

    A raster continues from the rows that an earlier, interrupted call has left beside `output`.

    Args:
        translator: The model.
        upload: The file.
        output: A PNG for a picture, a Cloud-Optimized GeoTIFF for a raster.
        model: The model's name and SHA-256, for the tags of a raster.
        progress: Called with the tiles done and the number of tiles; what it raises ends the work.
        decoder: Decodes a picture.
        gsd: Metres per pixel of a picture, if known; a raster has its own.
        part: Which part of a picture.
        sides: What else to write of a raster, beside `output` as NAME.tif.

    Returns:
        What the client should know.

    Raises:
        ImageError: The file is damaged, or not an input of this model.
        OutputError: The result cannot be written.
    """
    with hiding(upload.path):
        if upload.kind == "raster":
            from sat2map.geo.raster_job import RasterOptions
            from sat2map.geo.translate_raster import translate_raster

            options = RasterOptions(
                overwrite=True,
                resume=True,
                classes=output.with_name("classes.tif") if "classes" in sides else None,
                confidence=output.with_name("confidence.tif") if "confidence" in sides else None,
            )
            result = translate_raster(
                translator, upload.path, output, options, model=model, progress=progress
            )
            return for_clients(result.notes, upload.path)
        size, header = (upload.height, upload.width), translator.header
        picture = read_picture(decoder, upload.path, size, header, part, gsd=gsd)
        pixels = with_bands(picture.pixels, header.generator.source_bands, upload.path)
        scaled = translator if gsd is None else ScaledTranslator(translator, gsd)
        write_image(output, scaled(pixels, progress), picture.alpha)
        return picture.notes


def _raster_size(path: Path) -> tuple[int, int]:
    require_geo("a GeoTIFF")
    import rasterio

    from sat2map.geo.gdal import FAILURES

    try:
        # With this driver only: others of GDAL's could read other files, or the network.
        with rasterio.open(path, driver="GTiff") as dataset:
            if dataset.driver != "GTiff" or dataset.subdatasets:
                raise UnsupportedFormatError("this TIFF holds several images: send one of them")
            _check_blocks(dataset)
            return dataset.height, dataset.width
    except FAILURES:
        raise ImageError("the image cannot be decoded: it is damaged, fetch or export it again") from None


def _check_blocks(dataset: Any) -> None:
    """Refuse a TIFF whose blocks would each take too much memory: GDAL decodes whole blocks."""
    bands = dataset.count if dataset.interleaving is not None and dataset.interleaving.name == "pixel" else 1
    size = max(_ITEM_SIZES.get(name) or np.dtype(name).itemsize for name in dataset.dtypes)
    rows, columns = max(dataset.block_shapes)
    if rows * columns * bands * size > MAX_BLOCK:
        raise TooManyPixelsError(
            f"this TIFF is stored in blocks of {columns}×{rows} px and {bands} bands: "
            f"store it in tiles, each of at most {MAX_BLOCK / MIB:.0f} MiB"
        )
