"""Reads image files into 8 bits: photometry, bit depth, palette, transparency and orientation resolved.

Pillow decodes what it decodes without loss. The rest (16-bit colours, floats, odd bits, internal masks of
TIFF; 16-bit PNG) is read by GDAL, where the `geo` extra is installed.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.ExifTags import Base

from sat2map.errors import ImageError, MissingExtraError
from sat2map.extras import require
from sat2map.images.levels import Stretch, given_limits, lab_error, measure_limits, to_8_bits
from sat2map.images.limits import check_size, too_large
from sat2map.images.tiff import DAMAGE, TiffError, TiffHeader, is_tiff, read_tiff_header

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
# Pillow knows many more, and some of them start other programs: a file is none of those, whatever its name.
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_FORMAT_NAMES: Final = "JPEG, PNG, WebP, TIFF, BMP or GIF"

# Our own limit, named in the error, is checked in its place.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
# Of damaged tags; the reader's own error is the one that users see. Set once, as threads may read.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# EXIF orientations of images that are stored with their sides swapped, upside down, or mirrored.
_SIDEWAYS: Final = (5, 6, 7, 8)
_ROWS_TURNED: Final = (3, 4, 7, 8)
_COLUMNS_TURNED: Final = (2, 3, 6, 7)

_LAB: Final = (8, 9, 10)  # photometric interpretations of TIFF
_NUMBERS: Final = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # modes of more than 8 bits, one band each
_PNG_DEPTH: Final = 24  # where a PNG's header has its bits per sample


class Picture(NamedTuple):
    """A decoded image file.

    Attributes:
        pixels: uint8 array (height, width, bands), bands 1 or 3, or as many as were asked for.
        alpha: uint8 array (height, width), or None where all of the file is valid.
        notes: What was assumed or left out, for the user.
        stretched: Whether the levels were made of larger numbers, by limits.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    notes: tuple[str, ...] = ()
    stretched: bool = False


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
            return _read_with_pillow(path, file, header, page, stretch)
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
            with _decoding(path), _open(file) as image:
                size = image.height, image.width
                # Not image.getexif(): a PNG's looks for EXIF behind the pixels, and decodes all of them.
                turn = Image.Image.getexif(image).get(Base.Orientation, 1)
    check_size(path, *size)
    return size[::-1] if turn in _SIDEWAYS else size


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

    notes = _check_page(path, 1 if header is None else header.pages, page)
    picture = read_with_gdal(path, file, page or 1, stretch, tiff=header is not None, bands=bands)
    return _upright(picture, 1 if header is None else header.orientation, notes)


def _read_with_pillow(
    path: Path, file: IO[bytes], header: TiffHeader | None, page: int | None, stretch: Stretch
) -> Picture:
    with _decoding(path), _open(file) as image:
        check_size(path, image.height, image.width)
        pages = header.pages if header is not None else getattr(image, "n_frames", 1)
        notes = _check_page(path, pages, page)
        if (page or 1) > 1:
            image.seek((page or 1) - 1)
            check_size(path, image.height, image.width)
        image.load()
        # Not ImageOps.exif_transpose: it rewrites all of the EXIF, and fails at damage in any field.
        # Pillow itself turns a TIFF, and then has no orientation any more.
        orientation = image.getexif().get(Base.Orientation, 1)
        return _upright(_to_picture(path, image, stretch), orientation, notes)


def _to_picture(path: Path, image: Image.Image, stretch: Stretch) -> Picture:
    notes: tuple[str, ...] = ()
    if image.mode in _NUMBERS:
        values = np.asarray(image)[None]
        limits, note = stretch(values, None, path)
        notes = (note,) if note else ()
        return Picture(to_8_bits(values, limits)[0, :, :, None], None, notes, stretched=True)
    if (
        image.mode in ("P", "PA") or "transparency" in image.info
    ):  # one colour of it, or some, are transparent
        clear = image.mode == "PA" or "transparency" in image.info
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


def _check_page(path: Path, pages: int, page: int | None) -> tuple[str, ...]:
    """Return the note that a file of several pages needs.

    Raises:
        ImageError: There is no such page.
    """
    if page is not None and not 1 <= page <= pages:
        raise ImageError(
            f"{path} has no page {page}", hint=f"it has {pages}, which count from 1", setting="page"
        )
    if page is None and pages > 1:
        return (
            f"{path} holds {pages} images (pages, frames or views): the first is used; the "
            "setting 'page' picks another",
        )
    return ()


def _upright(picture: Picture, orientation: int, notes: tuple[str, ...]) -> Picture:
    """Turn an image that is stored with this EXIF orientation, and put notes before its own."""
    rows = -1 if orientation in _ROWS_TURNED else 1
    columns = -1 if orientation in _COLUMNS_TURNED else 1

    def turned(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        sides = planes.swapaxes(0, 1) if orientation in _SIDEWAYS else planes
        return np.ascontiguousarray(sides[::rows, ::columns])

    alpha = None if picture.alpha is None else turned(picture.alpha)
    return picture._replace(pixels=turned(picture.pixels), alpha=alpha, notes=(*notes, *picture.notes))


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


@contextlib.contextmanager
def _open(file: IO[bytes]) -> Iterator[ImageFile.ImageFile]:
    # Not by its name: Pillow would map a raw TIFF into memory, and scramble one that is stored turned.
    file.seek(0)
    with Image.open(file, formats=_FORMATS) as image:
        assert isinstance(image, ImageFile.ImageFile)
        yield image


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
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


def damaged(path: Path, error: BaseException) -> ImageError:
    """Return the error of a file that cannot be decoded, with the innermost reason."""
    while error.__cause__ is not None:
        error = error.__cause__
    reason = " ".join(str(error).split()).rstrip(".")
    return ImageError(f"{path} cannot be decoded ({reason})", hint="it is damaged, fetch or export it again")
