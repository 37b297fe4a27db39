"""What a translator takes: a path, a PIL image or an array, as the pixels that its model wants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ImageError
from sat2map.images.levels import to_8_bits, use_limits
from sat2map.images.pixels import read_image, with_bands
from sat2map.inference.scale import MIN_SIDE
from sat2map.models.header import ModelHeader

if TYPE_CHECKING:
    from PIL import Image

Source: TypeAlias = "NDArray[Any] | str | Path | Image.Image"


def source_pixels(source: Source, header: ModelHeader) -> NDArray[np.uint8]:
    """Return the pixels of an image, uint8 (h, w, source_bands of the model).

    Args:
        source: A path, a PIL image, or an array (h, w, bands), uint8; of a model with limits of its bands, of
            any type.
        header: The model's.

    Raises:
        ImageError: The image cannot be read, has another type or number of bands, or is too small.
    """
    bands, limits = header.generator.source_bands, header.limits
    if isinstance(source, str | Path):
        picture = read_image(Path(source), bands=bands, stretch=use_limits(limits))
        return with_bands(picture.pixels, bands, Path(source))
    if not isinstance(source, np.ndarray):
        image = np.asarray(source.convert({1: "L", 3: "RGB"}.get(bands, source.mode)))
        source = image.reshape(*image.shape[:2], -1)
    if limits is not None and source.dtype != np.uint8 and source.ndim == 3 and source.shape[2] == bands:
        source = np.moveaxis(to_8_bits(np.moveaxis(source, -1, 0), limits), 0, -1)
    check_pixels(source, header)
    return source


def check_pixels(source: NDArray[Any], header: ModelHeader) -> None:
    """Refuse an array that is not uint8 (h, w, source_bands), or is too small.

    Raises:
        ImageError: It is one of these.
    """
    bands = header.generator.source_bands
    if source.dtype != np.uint8:
        raise ImageError(
            f"the image is {source.dtype}, but this model takes uint8 in 0..255", hint="scale it first"
        )
    if source.ndim != 3 or source.shape[2] != bands:
        raise ImageError(f"the image has shape {source.shape}, but this model takes (height, width, {bands})")
    if min(source.shape[:2]) < MIN_SIDE:
        height, width = source.shape[:2]
        raise ImageError(f"the image is {width} x {height} px: it needs {MIN_SIDE} px a side or more")
