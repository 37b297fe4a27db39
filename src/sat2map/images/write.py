"""Writes image files: JPEG, PNG, WebP and TIFF of 8 bits a band, each wholly or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sat2map.errors import ImageError
from sat2map.files import atomic_path
from sat2map.images.png import check_bytes, png_parts

WRITABLE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")

# `exact` keeps the colours below full transparency.
_SAVE_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"lossless": True, "exact": True},
}


def write_image(path: Path, pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None) -> None:
    """Write an image atomically, in the format of the path's suffix.

    Args:
        path: Where to; .jpg is written at quality 95 with all of its colour, which thin map lines need.
        pixels: uint8 array (h, w, bands).
        alpha: uint8 array (h, w) or None.

    Raises:
        ImageError: The format cannot carry the alpha channel or the size, or is not written here.
        TypeError: The array is not uint8.
        OutputError: The file cannot be written.
    """
    check_bytes(pixels)
    suffix = path.suffix.lower()
    if suffix not in WRITABLE_SUFFIXES:
        raise ImageError(f"{path} has no image suffix; use one of {', '.join(WRITABLE_SUFFIXES)}")
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
