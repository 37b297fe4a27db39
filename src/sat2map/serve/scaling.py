"""The size of an uploaded picture at its model's scale, within the service's limits."""

from __future__ import annotations

from sat2map.errors import ImageError, SettingsError
from sat2map.inference.translator import MIN_SIDE
from sat2map.models.model_file import ModelHeader
from sat2map.serve.http_errors import TooManyPixelsError

Size = tuple[int, int]


def size_for_model(header: ModelHeader, size: Size, gsd: float | None, *, pixels: int) -> Size:
    """Return the height and width that a picture has at the model's scale.

    Args:
        header: Header of the model.
        size: The picture's height and width (px).
        gsd: Its metres per pixel; None: unknown, and the picture is used as it is.
        pixels: Largest number of pixels at that scale.

    Raises:
        SettingsError: The model's own metres per pixel are unknown.
        ImageError: The picture is too small at the model's scale.
        TooManyPixelsError: It is too large there.
    """
    if gsd is None:
        return size
    if header.gsd is None:
        raise SettingsError("the metres per pixel of this model are unknown: leave gsd out")
    factor = gsd / header.gsd
    height, width = round(size[0] * factor), round(size[1] * factor)
    at_scale = f"at the model's {header.gsd:g} m per pixel the image has {width}×{height} px"
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{at_scale}: it needs {MIN_SIDE} px a side or more")
    if height * width > pixels:
        raise TooManyPixelsError(f"{at_scale}: at most {pixels / 1e6:g} million are accepted here")
    return height, width
