"""The size of an uploaded picture at its model's scale, within the service's limits."""

from __future__ import annotations

from sat2map.inference.scale import size_at_model_scale
from sat2map.models.model_file import ModelHeader
from sat2map.serve.http_errors import TooManyPixelsError

Size = tuple[int, int]


def size_for_model(header: ModelHeader, size: Size, gsd: float | None, *, pixels: int) -> Size:
    """Return the height and width that a picture has at the model's scale.

    Args:
        header: Header of the model.
        size: The picture's height and width (px).
        gsd: Its metres per pixel; None: unknown.
        pixels: Largest number of pixels at that scale.

    Raises:
        SettingsError: The model's own metres per pixel are unknown.
        ImageError: The picture is too small at the model's scale.
        TooManyPixelsError: It is too large there.
    """
    height, width = size_at_model_scale(header, size, gsd)
    if height * width > pixels:
        raise TooManyPixelsError(
            f"at the model's scale the image has {width}×{height} px: at most {pixels / 1e6:g} million are "
            "accepted here"
        )
    return height, width
