"""Reads image files into 8 bits: photometry, bit depth, palette, transparency and orientation resolved.

Pillow decodes what it decodes without loss. The rest (16-bit colours, floats, odd bits, internal masks of
TIFF; 16-bit PNG) is read by GDAL, where the `geo` extra is installed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, cast

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from sat2map.errors import ImageError, MissingExtraError
from sat2map.extras import require
from sat2map.images.levels import Stretch, given_limits, lab_error, measure_limits, to_8_bits
from sat2map.images.limits import check_size
from sat2map.images.picture import SIDEWAYS, Picture, check_page, damaged, upright
from sat2map.images.read_pillow import decoding, open_image, read_with_pillow
from sat2map.images.tiff import TiffError, TiffHeader, is_tiff, read_tiff_header

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
_LAB: Final = (8, 9, 10)  # photometric interpretations of TIFF
_PNG_DEPTH: Final = 24  # where a PNG's header has its bits per sample


def read_image(
    path: Path,
    *,
    page: int | None = None,
    bands: int = 3,
    scale: tuple[float, ...] | None = None,
    stretch: Stretch = measure_limits,
) -> Picture:
    """Decode an image file, upright as its EXIF says.

    Samples of more than 8 bits are scaled so that their percentiles 2 and 98 become black and white, with a
    note. CMYK and YCbCr become RGB, palettes their colours, and white that is stored as 0 becomes 255.

    Args:
        path: JPEG, PNG, WebP, TIFF, BMP or GIF.
        page: Which page, frame or view of a file that holds several, from 1; None: the first, with a note.
        bands: How many are wanted. Up to three are colours or grey, as the file has; any other number must
            be there, in a TIFF: red, green, blue and near infrared where the file names them, else the first.
        scale: Lowest and highest value, once or for each band, that become 0 and 255.
        stretch: What finds these limits of samples of more than 8 bits, where they are not given.

    Raises:
        ImageError: The file is missing, truncated, too large or no image, holds L*a*b* or complex samples, or
            has no such page.
        MissingExtraError: Its samples are of a kind that GDAL reads, and the `geo` extra is missing.
        SettingsError: `scale` does not fit.
    """
    if scale is None:
        return _read(path, page, bands, stretch)
    picture = _read(path, page, bands, lambda values, _valid, _name: (given_limits(scale, len(values)), ""))
    if picture.stretched:
        return picture
    values = np.moveaxis(picture.pixels, -1, 0)
    levels = to_8_bits(values, given_limits(scale, len(values)))
    return picture._replace(pixels=np.ascontiguousarray(np.moveaxis(levels, 0, -1)), stretched=True)


def has_deep_samples(path: Path) -> bool:
    """Whether an image file has samples that are not plain 8 bits or fewer, from its header alone.

    Raises:
        ImageError: The file is missing, or damaged at its beginning.
    """
    with _opened(path) as file:
        head = file.read(_PNG_DEPTH + 1)
        if is_tiff(head):
            header = _tiff_header(path, file)
            return header.bits > 8 or not header.unsigned
        return _is_deep_png(head)


def _is_deep_png(head: bytes) -> bool:
    return head.startswith(b"\x89PNG") and head[_PNG_DEPTH:] == b"\x10"


def _read(path: Path, page: int | None, bands: int, stretch: Stretch) -> Picture:
    with _opened(path) as file:
        head = file.read(_PNG_DEPTH + 1)
        header = _tiff_header(path, file) if is_tiff(head) else None
        if header is not None:
            check_size(path, header.height, header.width, header.samples * -(-header.bits // 8))
            if header.photometric in _LAB:
                raise lab_error(path)
        if header is not None and bands not in (1, 3):
            return _read_with_gdal(path, file, header, page, stretch, bands)
        if _is_deep_png(head) or (header is not None and not header.pillow_reads_all):
            return _read_with_gdal(path, file, header, page, stretch)
        try:
            return read_with_pillow(path, file, header, page, stretch)
        except ImageError:
            if header is None or header.pages < (page or 1):
                raise
            # Pillow fails at some sound ones, such as 4 bits in tiles.
            with contextlib.suppress(ImageError, MissingExtraError):
                return _read_with_gdal(path, file, header, page, stretch)
            raise


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) in pixels from the file's header alone.

    Raises:
        ImageError: The file is missing, too large or no image.
    """
    with _opened(path) as file:
        if is_tiff(file.read(4)):
            header = _tiff_header(path, file)
            size, turn = (header.height, header.width), header.orientation
        else:
            with decoding(path), open_image(file) as image:
                size = image.height, image.width
                # Not image.getexif(): a PNG's looks for EXIF behind the pixels, and decodes all of them.
                turn = Image.Image.getexif(image).get(Base.Orientation, 1)
    check_size(path, *size)
    return size[::-1] if turn in SIDEWAYS else size


def _read_with_gdal(
    path: Path,
    file: IO[bytes],
    header: TiffHeader | None,
    page: int | None,
    stretch: Stretch,
    bands: int = 3,
) -> Picture:
    require("rasterio", f"{path}, with samples that are not plain 8 bits,", "geo")
    from sat2map.images.read_gdal import read_with_gdal

    notes = check_page(path, 1 if header is None else header.pages, page)
    picture = read_with_gdal(path, file, page or 1, stretch, tiff=header is not None, bands=bands)
    return upright(picture, 1 if header is None else header.orientation, notes)


def _tiff_header(path: Path, file: IO[bytes]) -> TiffHeader:
    try:
        header = read_tiff_header(file)
    except TiffError as error:
        raise damaged(path, error) from None
    file.seek(0)
    return header


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, or take one that is open (bytes in memory) from its start."""
    if hasattr(path, "read"):
        file = cast("IO[bytes]", path)
        file.seek(0)
        yield file
        return
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a name with a NUL
        raise ImageError(f"{str(path)!r} cannot be read: {error}") from None
