"""Reads images with Pillow, which decodes them without loss where they have 8 bits, and some of 16."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.ExifTags import Base

from sat2map.errors import ImageError
from sat2map.images.levels import Stretch, to_8_bits
from sat2map.images.limits import check_size, too_large
from sat2map.images.picture import Picture, check_page, damaged, upright
from sat2map.images.tiff import DAMAGE, TiffHeader

# Pillow knows many more, and some of them start other programs: a file is none of those, whatever its name.
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_FORMAT_NAMES: Final = "JPEG, PNG, WebP, TIFF, BMP or GIF"

_NUMBERS: Final = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # modes of more than 8 bits, one band each

# Our own limit, named in the error, is checked in its place.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
# Of damaged tags; the reader's own error is the one that users see. Set once, as threads may read.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def read_with_pillow(
    path: Path, file: IO[bytes], header: TiffHeader | None, page: int | None, stretch: Stretch
) -> Picture:
    """Decode a page, from 1, of an image file, upright; None: the first, with a note.

    Raises:
        ImageError: It is damaged or too large, has no such page, or a colour mode that is not read.
    """
    with decoding(path), open_image(file) as image:
        check_size(path, image.height, image.width)
        pages = header.pages if header is not None else getattr(image, "n_frames", 1)
        notes = check_page(path, pages, page)
        if (page or 1) > 1:
            image.seek((page or 1) - 1)
            check_size(path, image.height, image.width)
        image.load()
        # Not ImageOps.exif_transpose: it rewrites all of the EXIF, and fails at damage in any field.
        # Pillow itself turns a TIFF, and then has no orientation any more.
        orientation = image.getexif().get(Base.Orientation, 1)
        return upright(_to_picture(path, image, stretch), orientation, notes)


def _to_picture(path: Path, image: Image.Image, stretch: Stretch) -> Picture:
    notes: tuple[str, ...] = ()
    if image.mode in _NUMBERS:
        values = np.asarray(image)[None]
        limits, note = stretch(values, None, path)
        notes = (note,) if note else ()
        return Picture(to_8_bits(values, limits)[0, :, :, None], None, notes, stretched=True)
    clear = image.mode == "PA" or "transparency" in image.info  # one colour of it, or some, are transparent
    if clear or image.mode == "P":
        colour = "L" if image.mode in ("1", "L") else "RGB"
        image = image.convert(("LA" if colour == "L" else "RGBA") if clear else colour)
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("CMYK", "YCbCr", "RGBX"):
        if image.mode == "CMYK":
            notes = (f"{path} has CMYK colours: they were converted to RGB without a colour profile",)
        image = image.convert("RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise ImageError(f"{path} has the colour mode {image.mode}", hint="convert it to RGB first")
    pixels = np.asarray(image)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if image.mode in ("L", "RGB"):
        return Picture(pixels, None, notes)
    return Picture(np.ascontiguousarray(pixels[..., :-1]), np.ascontiguousarray(pixels[..., -1]), notes)


@contextlib.contextmanager
def open_image(file: IO[bytes]) -> Iterator[ImageFile.ImageFile]:
    """Open an image, one of the formats that are read here."""
    # Not by its name: Pillow would map a raw TIFF into memory, and scramble one that is stored turned.
    file.seek(0)
    with Image.open(file, formats=_FORMATS) as image:
        assert isinstance(image, ImageFile.ImageFile)
        yield image


@contextlib.contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn all that Pillow may raise into an ImageError."""
    try:
        yield
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that can be read ({_FORMAT_NAMES})") from None
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))
        raise too_large(path, f"{int(pixels[0]) / 1e6:.0f} million pixels" if pixels else "more") from None
    except OSError as error:
        if error.errno is not None:  # the system's, not the decoder's
            raise ImageError(f"{path} cannot be read: {error.strerror}") from None
        raise damaged(path, error) from None
    except DAMAGE as error:
        raise damaged(path, error) from None
