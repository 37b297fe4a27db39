"""What a model is compared with: maps that need no training, and the real map after JPEG compression."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sat2map.data.pair_cache import PairCache
from sat2map.evaluation.result import CONSTANT, JPEG, NEAREST
from sat2map.images.pixels import resize

Pixels = NDArray[np.uint8]

JPEG_QUALITY = 75  # of the ceiling: a truth that only passed through a common JPEG encoder
_THUMBNAIL = 8  # px


def baselines_of(
    scored: PairCache, train: PairCache | None, colour: Pixels
) -> dict[str, Callable[[int], Pixels]]:
    """Return what the model is compared with, by name: number of a scored pair to a map of it.

    Args:
        scored: The pairs.
        train: Training pairs of the same size, or None for no nearest training tile.
        colour: Of the constant map, uint8 (bands,).
    """
    constant = np.broadcast_to(colour, scored.targets[0].shape)
    ways: dict[str, Callable[[int], Pixels]] = {CONSTANT: lambda _: constant}
    if train is not None:
        nearest = nearest_tiles(scored.sources, train.sources)
        ways[NEAREST] = lambda i: np.ascontiguousarray(train.targets[nearest[i]])
    ways[JPEG] = lambda i: as_jpeg(scored.targets[i], JPEG_QUALITY)
    return ways


def median_colour(pairs: PairCache) -> Pixels:
    """Return the median of each band over all pixels of all targets that are not ignored.

    Images are read one by one: they may be larger than memory.

    Returns:
        uint8 (bands,).
    """
    bands = pairs.targets.shape[-1]
    histograms = np.zeros((bands, 256), np.int64)
    for i, target in enumerate(pairs.targets):
        ignored = pairs.ignored(i)
        known = target.reshape(-1, bands) if ignored is None else target[~ignored]
        for band in range(bands):
            histograms[band] += np.bincount(known[:, band], minlength=256)
    half = histograms[0].sum() / 2
    return np.array([np.searchsorted(counts.cumsum(), half) for counts in histograms], np.uint8)


def nearest_tiles(sources: Pixels, train_sources: Pixels) -> NDArray[np.int64]:
    """Find for each source the training source that looks most like it, by 8 x 8 thumbnails.

    Args:
        sources: uint8 (n, h, w, bands).
        train_sources: uint8 (m, h, w, bands).

    Returns:
        Indices into the training images, int64 (n,).
    """
    theirs = _thumbnails(train_sources)
    return np.array([((theirs - mine) ** 2).sum(axis=1).argmin() for mine in _thumbnails(sources)], np.int64)


def as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Encode and decode an image, uint8 (h, w, bands), as JPEG; bands other than three go one by one."""
    bands = np.moveaxis(pixels, -1, 0)
    parts = [pixels] if len(bands) == 3 else list(bands)
    decoded = []
    for part in parts:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(part)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            decoded.append(np.asarray(image))
    return np.dstack(decoded)


def _thumbnails(images: Pixels) -> NDArray[np.float32]:
    """Thumbnails float32 (n, 64 * bands) of images uint8 (n, h, w, bands)."""
    small = [resize(np.ascontiguousarray(image), _THUMBNAIL, _THUMBNAIL).ravel() for image in images]
    return np.stack(small).astype(np.float32)
