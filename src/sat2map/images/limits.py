"""How large an image may be that is decoded as a whole: checked by its header, before decoding."""

from __future__ import annotations

from typing import Final

from sat2map.errors import ImageError

MAX_PIXELS: Final = 2 * 89_478_485  # 178,956,970 px, a square of 13,377 px: where Pillow refuses
MAX_SIDE: Final = 65_535  # px; a row of tiles is held as floats, so memory grows with the width
MAX_BYTES: Final = 2 << 30  # of the decoded samples and a mask


def check_size(name: object, height: int, width: int, bytes_per_pixel: int = 4) -> None:
    """Refuse an image that would not fit in memory.

    Args:
        name: What to call it.
        height: Rows.
        width: Columns.
        bytes_per_pixel: Of all samples of a pixel, decoded.

    Raises:
        ImageError: It has too many pixels, or a side that is too long.
    """
    problem = None
    if height < 1 or width < 1:
        raise ImageError(f"{name} is {width}×{height} px: it holds no pixel")
    if height * width > MAX_PIXELS:
        problem = f"at most {MAX_PIXELS // 1_000_000} million pixels are"
    elif max(height, width) > MAX_SIDE:
        problem = f"at most {MAX_SIDE:,} px a side are"
    elif height * width * bytes_per_pixel > MAX_BYTES:
        problem = f"at most {MAX_BYTES >> 30} GiB of samples are"
    if problem is not None:
        raise ImageError(
            f"{name} is {width}×{height} px, too large to be decoded as one image ({problem})",
            hint="cut it, or save it as a GeoTIFF, which is read in strips",
        )
