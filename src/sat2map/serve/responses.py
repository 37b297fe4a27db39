"""Formats of maps: content negotiation and encoding."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sat2map.images.png import encode_png
from sat2map.serve.http_errors import NotAcceptableError

MediaType = Literal["image/png", "image/webp", "image/jpeg", "image/tiff"]
MEDIA_TYPES: tuple[MediaType, ...] = get_args(MediaType)
RASTER_TYPES: tuple[MediaType, ...] = ("image/tiff", "image/png", "image/webp")

_SAVE: dict[str, dict[str, Any]] = {
    "image/webp": {"format": "WEBP", "lossless": True, "method": 0, "exact": True},
    "image/jpeg": {"format": "JPEG", "quality": 95},
    "image/tiff": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
}
_LONGEST = {"image/webp": 16383, "image/jpeg": 65500}


def negotiate(accept: str, offered: Sequence[MediaType]) -> MediaType:
    """Return the format of those offered, the best first, that an `Accept` header prefers (RFC 9110, 12.5.1).

    An empty header accepts anything.

    Raises:
        NotAcceptableError: The client accepts none of them.
    """
    ranges = [_range(part) for part in accept.lower().split(",") if part.strip()] or [("*/*", 1.0)]

    def quality(media_type: MediaType) -> float:
        # The most specific matching range decides.
        for pattern in (media_type, "image/*", "*/*"):
            for name, q in ranges:
                if name == pattern:
                    return q
        return 0.0

    best = max(offered, key=quality)
    if quality(best) <= 0:
        raise NotAcceptableError(
            f"the map is available as {', '.join(offered)}: name one of them in the Accept header"
        )
    return best


def encode(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, media_type: MediaType) -> bytes:
    """Encode a map, uint8 (h, w, bands), with its alpha, uint8 (h, w), if it has one.

    Raises:
        NotAcceptableError: The format cannot hold it.
    """
    if alpha is not None and media_type == "image/jpeg":
        raise NotAcceptableError(
            "JPEG cannot hold the transparency of this image: accept image/png or image/webp"
        )
    limit = _LONGEST.get(media_type)
    if limit is not None and max(pixels.shape[:2]) > limit:
        raise NotAcceptableError(f"{media_type} holds at most {limit} px a side: accept image/png")
    if alpha is not None:
        pixels = np.dstack([pixels, alpha])
    if media_type == "image/png":
        return encode_png(pixels)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    out = io.BytesIO()
    image.save(out, **_SAVE[media_type])
    return out.getvalue()


def read_raster(path: Path, media_type: MediaType) -> bytes:
    """Return a map in a GeoTIFF file as it is, or as an image.

    Raises:
        NotAcceptableError: The format cannot hold it.
    """
    if media_type == "image/tiff":
        return path.read_bytes()
    return encode(*raster_pixels(path), media_type)


def raster_pixels(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return the pixels of a GeoTIFF file, uint8 (h, w, bands), and its mask, uint8 (h, w), if it has one."""
    import rasterio

    with rasterio.open(path) as dataset:
        values, mask = dataset.read(), dataset.dataset_mask()
    bands = values.shape[0] - (values.shape[0] in (2, 4))
    pixels = np.ascontiguousarray(np.moveaxis(values[:bands], 0, -1))
    return pixels, None if mask.all() else mask


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, min(1.0, max(0.0, float(value)))
            except ValueError:
                return name, 0.0
    return name, 1.0
