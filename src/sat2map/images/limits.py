"""How large an image may be that is decoded as a whole: checked by its header, before decoding."""

from __future__ import annotations

from typing import Final

from sat2map.errors import ImageError

MAX_PIXELS: Final = 2 * 89_478_485  # 178,956,970 px, a square of 13,377 px: where Pillow refuses
MAX_SIDE: Final = 65_535  # px; a row of tiles is held as floats, so memory grows with the width
MAX_BYTES: Final = 2 << 30  # of the decoded samples and a mask


def check_size(name: object, height: int, width: int, bytes_per_pixel: int = 4) -> None:
    """Refuse an image that would not fit in memory, decoded, with all samples of its pixels.

    Raises:
        ImageError: It has too many pixels, or a side that is too long.
    """
    if height < 1 or width < 1:
        raise ImageError(f"{name} is {width}×{height} px: it holds no pixel")
    size = f"{width}×{height} px"
    if height * width > MAX_PIXELS:
        raise too_large(name, size)
    if max(height, width) > MAX_SIDE:
        raise too_large(name, size, f"{MAX_SIDE:,} px a side")
    if height * width * bytes_per_pixel > MAX_BYTES:
        raise too_large(name, size, f"{MAX_BYTES >> 30} GiB of samples")


def too_large(name: object, size: str, limit: str = f"{MAX_PIXELS // 1_000_000} million") -> ImageError:
    """Return the error of an image of some size that exceeds a limit."""
    return ImageError(
        f"{name} is too large to be decoded as one image: it has {size}, and the limit is {limit}",
        hint="save it as a TIFF, which is read in strips (gdal_translate does it), or cut it",
    )
