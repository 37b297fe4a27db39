"""Owns bringing an uploaded picture to its model's scale, within the service's limits."""

from __future__ import annotations

from sat2map.errors import ImageError, SettingsError
from sat2map.inference.translator import MIN_SIDE
from sat2map.models.model_file import ModelHeader
from sat2map.serve.http_errors import TooManyPixelsError

Size = tuple[int, int]


def size_for_model(header: ModelHeader, size: Size, gsd: float | None, *, pixels: int) -> Size:
    """Return the height and width that a picture has at the model's scale.

    Args:
        header: The model's.
        size: The picture's height and width (px).
        gsd: Ground size of its pixels (m); None: nobody said, and the picture is taken as it is.
        pixels: The most that it may have at that scale.

    Raises:
        SettingsError: The model does not know its own ground size of a pixel.
        ImageError: The picture is too small at the model's scale.
        TooManyPixelsError: It is too large there.
    """
    if gsd is None:
        return size
    if header.gsd is None:
        raise SettingsError("this model does not know its own ground size of a pixel: leave gsd out")
    factor = gsd / header.gsd
    height, width = round(size[0] * factor), round(size[1] * factor)
    told = f"at the model's {header.gsd:g} m a pixel the image has {width}×{height} px"
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{told}: it needs {MIN_SIDE} px a side or more")
    if height * width > pixels:
        raise TooManyPixelsError(f"{told}: at most {pixels / 1e6:g} million are taken this way")
    return height, width
