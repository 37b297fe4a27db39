"""Owns the way between files, arrays and the networks' range: nobody else knows what [-1, 1] means.

An image is an array (height, width, bands), uint8 in [0, 255]. The networks see float32 in [-1, 1].
"""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import TiffImageFile

from sat2map.errors import ImageError
from sat2map.files import atomic_path
from sat2map.images.png import png_parts

if TYPE_CHECKING:
    import torch

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
# Pillow knows many more, and some of them start other programs: a file is none of those, whatever its name.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")

# What is done with each of Pillow's modes; any other is refused with the sentence given here.
_PLAIN = {"RGB": "RGB", "L": "L"}
_WITH_ALPHA = {"RGBA": "RGB", "LA": "L"}
_REFUSED = {
    "CMYK": "has CMYK colours, which have no one meaning on a screen: convert it to RGB first",
    "P": "is a palette image (indices, not colours): convert it to RGB first",
    "1": "has one bit a pixel: convert it to 8-bit grey or RGB first",
}

# Large pictures are our daily bread; the error at twice this size stays. Set once, as threads may read.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

# What brings a picture upright, by EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# `exact` keeps the colours below full transparency.
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"lossless": True, "exact": True},
}


class Picture(NamedTuple):
    """A decoded image file.

    Attributes:
        pixels: uint8 array (height, width, bands), bands 1 or 3.
        alpha: uint8 array (height, width), or None where the file has none.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None


def read_image(path: Path) -> Picture:
    """Decode a JPEG, PNG, WebP or TIFF of 8 bits a band, upright as its EXIF says.

    Raises:
        ImageError: The file is missing, truncated, no image, or of a kind that could not be read without
            damage (16-bit, CMYK, palette, one bit).
    """
    with _open(path) as image:
        _refuse_what_would_be_damaged(path, image)
        image.load()
        # Not ImageOps.exif_transpose: it rewrites all of the EXIF, and stumbles over damage in any field.
        turn = _TURNS.get(image.getexif().get(Base.Orientation, 1))
        return _to_picture(image if turn is None else image.transpose(turn))


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) in pixels from the file's header alone.

    Raises:
        ImageError: The file is missing or no image.
    """
    with _open(path) as image:
        if isinstance(image, TiffImageFile):  # its size is the upright one in newer versions of Pillow only
            stored = image.tag_v2[Base.ImageLength], image.tag_v2[Base.ImageWidth]
        else:
            stored = image.height, image.width
        # Not image.getexif(): a PNG's looks for EXIF behind the pixels, and decodes all of them on its way.
        turned = Image.Image.getexif(image).get(Base.Orientation) in (5, 6, 7, 8)  # those that swap the sides
        return stored[::-1] if turned else stored


def with_bands(pixels: NDArray[np.uint8], bands: int, path: Path) -> NDArray[np.uint8]:
    """Return `pixels` with that many bands: grey is repeated to RGB, anything else must fit as it is.

    Raises:
        ImageError: The image has other bands than the model or data set needs.
    """
    if pixels.shape[2] == bands:
        return pixels
    if pixels.shape[2] == 1:
        return np.repeat(pixels, bands, axis=2)
    raise ImageError(f"{path} has {pixels.shape[2]} bands where {bands} are needed")


def resize(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize with Pillow's antialiased bicubic filter: the one resize route of this package.

    Args:
        pixels: uint8 array (h, w, bands), bands 1 to 4.
        height: New height (px).
        width: New width (px).
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    # Two or four bands in one piece would be taken for alpha, and the others be weighted by it.
    parts = [pixels] if pixels.shape[2] == 3 else np.dsplit(pixels, pixels.shape[2])
    images = (Image.fromarray(part.squeeze(axis=2) if part.shape[2] == 1 else part) for part in parts)
    resized = (image.resize((width, height), Image.Resampling.BICUBIC) for image in images)
    return np.dstack([np.asarray(image) for image in resized])


def write_image(path: Path, pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None) -> None:
    """Write an image atomically, in the format of the path's suffix.

    Args:
        path: Where to; .jpg is written at quality 95 with all of its colour, which thin map lines need.
        pixels: uint8 array (h, w, bands).
        alpha: uint8 array (h, w) or None.

    Raises:
        ImageError: The format cannot carry the alpha channel or the size, or is not one of ours.
        OutputError: The file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ImageError(f"{path} has no image suffix; use one of {', '.join(IMAGE_SUFFIXES)}")
    if alpha is not None and suffix in (".jpg", ".jpeg"):
        raise ImageError(f"{path}: JPEG cannot carry the transparency of the input; write PNG, WebP or TIFF")
    if alpha is not None:
        pixels = np.dstack([pixels, alpha])
    limit = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}.get(suffix)
    if limit is not None and max(pixels.shape[:2]) > limit:
        raise ImageError(f"{path}: {suffix} holds at most {limit} px a side; write PNG or TIFF")
    with atomic_path(path) as temporary:
        if suffix == ".png":
            with temporary.open("wb") as file:
                file.writelines(png_parts(pixels))
        else:
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            image.save(temporary, **_SAVE_OPTIONS.get(suffix, {}))


def to_unit(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Map uint8 (..., h, w, bands) in [0, 255] to float32 (..., bands, h, w) in [-1, 1]."""
    values = np.ascontiguousarray(np.moveaxis(pixels, -1, -3), dtype=np.float32)
    values /= np.float32(127.5)  # in place: a picture's worth of new memory costs more than the arithmetic
    values -= np.float32(1)
    return values


def from_unit(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Map float32 (..., bands, h, w) in [-1, 1] to uint8 (..., h, w, bands), rounded to the nearest level."""
    levels = values + np.float32(1)
    levels *= np.float32(127.5)
    np.clip(levels, 0, 255, out=levels)
    whole = np.rint(levels, out=levels).astype(np.uint8)
    # Band by band: three times as fast as copying the turned array.
    return np.stack([whole[..., band, :, :] for band in range(whole.shape[-3])], axis=-1)


def tensor_to_unit(pixels: torch.Tensor) -> torch.Tensor:
    """Map a uint8 tensor of any shape in [0, 255] to float32 in [-1, 1], on its device."""
    return pixels.float() / 127.5 - 1.0


def tensor_from_unit(values: torch.Tensor) -> torch.Tensor:
    """Map a float tensor of any shape in [-1, 1] to uint8 in [0, 255], rounded, on its device."""
    import torch

    return ((values.float() + 1.0) * 127.5).clamp(0, 255).round().to(torch.uint8)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[ImageFile.ImageFile]:
    """Open an image file, and turn all that Pillow may raise until it is closed into an ImageError."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            assert isinstance(image, ImageFile.ImageFile)
            yield image
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that can be read (JPEG, PNG, WebP or TIFF)") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{path} is too large to be read as one picture: cut it into smaller ones") from None
    except OSError as error:
        if error.errno is not None:  # the system's, not the decoder's
            raise ImageError(f"{path} cannot be read: {error.strerror}") from None
        raise _damaged(path, error) from None
    except (SyntaxError, TypeError, ValueError, struct.error) as error:  # all seen from damaged headers
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> ImageError:
    return ImageError(f"{path} cannot be decoded ({error}): it is damaged, fetch or export it again")


def _refuse_what_would_be_damaged(path: Path, image: ImageFile.ImageFile) -> None:
    bits = _bits_a_band(image)
    if bits > 8 or image.mode == "F":
        depth = "floating-point values" if image.mode == "F" else f"{bits} bits a band"
        raise ImageError(f"{path} has {depth}: scale it to 8 bits first, with limits that you choose")
    if image.mode not in _PLAIN and image.mode not in _WITH_ALPHA:
        reason = _REFUSED.get(image.mode, f"has the colour mode {image.mode}: convert it to RGB first")
        raise ImageError(f"{path} {reason}")


def _bits_a_band(image: ImageFile.ImageFile) -> int:
    # Pillow opens 16-bit RGB as 8-bit "RGB" without a word: only a TIFF's tags and a PNG's raw mode tell.
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(Base.BitsPerSample, (1,))))
    sixteen = image.mode.startswith("I") or any(";16" in str(tile[3]) for tile in image.tile)
    return 16 if sixteen else 8


def _to_picture(image: Image.Image) -> Picture:
    if image.mode in _PLAIN and "transparency" in image.info:  # one colour of a PNG that means transparent
        image = image.convert(f"{image.mode}A")
    alpha = np.asarray(image.getchannel("A")) if image.mode in _WITH_ALPHA else None
    plain = image.convert(_WITH_ALPHA[image.mode]) if image.mode in _WITH_ALPHA else image
    pixels = np.asarray(plain)
    return Picture(pixels.reshape(*pixels.shape[:2], -1), alpha)
