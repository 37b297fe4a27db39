"""Images as arrays: the way to the networks' range [-1, 1] and back, bands, and size.

An image is uint8 (height, width, bands) in [0, 255]; the networks see float32 in [-1, 1]. Files are read by
`images.read` and written by `images.write`, whose functions are at hand here too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sat2map.errors import ImageError
from sat2map.images.picture import Picture
from sat2map.images.read import IMAGE_SUFFIXES, read_image, read_size
from sat2map.images.write import WRITABLE_SUFFIXES, write_image

if TYPE_CHECKING:
    import torch

__all__ = [
    "IMAGE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Picture",
    "from_unit",
    "read_image",
    "read_size",
    "resize",
    "tensor_from_unit",
    "tensor_to_unit",
    "to_unit",
    "with_bands",
    "write_image",
]


def with_bands(pixels: NDArray[np.uint8], bands: int, path: Path) -> NDArray[np.uint8]:
    """Return `pixels` with that many bands: grey is repeated to RGB, all else must fit as it is.

    Raises:
        ImageError: The image has other bands than the model or data set needs.
    """
    if pixels.shape[2] == bands:
        return pixels
    if pixels.shape[2] == 1 and bands == 3:
        return np.repeat(pixels, bands, axis=2)
    count = pixels.shape[2]
    raise ImageError(f"{path} has {count} band{'s' if count > 1 else ''} where {bands} are needed")


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
