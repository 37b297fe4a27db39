"""The cache: all pairs of a split decoded once, at one size, in one uint8 memory map."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sat2map.data.pair_cache import PairCache, PairFormat
from sat2map.data.pairs import Pair
from sat2map.data.read_pair import read_masked_pair, read_pair_size
from sat2map.errors import DataError, ImageError
from sat2map.files import atomic_path, cache_folder
from sat2map.images.palette.labels import IGNORED, Labeller
from sat2map.images.pixels import resize
from sat2map.runtime.cpu import processor

MIN_SIDE = 4  # px; enlarged to load size, less would be one flat colour
MIXED = 0.01  # share of an ignored pixel from which a resized one is ignored too: 2 grey levels of 255


def open_pairs(
    pairs: Sequence[Pair],
    how: PairFormat,
    *,
    workers: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PairCache:
    """Open the cache of these pairs, building it where it is missing.

    The file's name is a hash of all that decides its content, the image files' bytes among it, so a changed
    file makes a new cache. It appears under that name only when whole: of two processes that start at once,
    both build, and either result serves.

    Args:
        pairs: What to read.
        how: How to read it.
        workers: Threads that decode; 0 for one per core.
        progress: Called with pairs decoded and pairs in all, while a cache is built.

    Raises:
        DataError: The pairs' sizes are mixed.
        ImageError: A pair cannot be read.
        OutputError: The cache folder cannot be written, or its disk is full.
    """
    fingerprint = _fingerprint(pairs, how)
    path = cache_folder() / how.file_name(fingerprint)
    if not path.exists():
        _build(path, pairs, how, workers, progress)
    pixels = np.load(path, mmap_mode="c")  # copy on write: torch warns of arrays that it may not write
    names, groups = [pair.name for pair in pairs], [pair.place for pair in pairs]
    return how.cache_of(pixels, names, groups, fingerprint)


def _fingerprint(pairs: Sequence[Pair], how: PairFormat) -> str:
    digest = hashlib.blake2b(how.key.encode(), digest_size=16)
    for pair in pairs:
        for path in pair.files:
            try:
                digest.update(hashlib.blake2b(path.read_bytes()).digest())
            except OSError as error:
                raise ImageError(f"{path} cannot be read: {error.strerror}") from None
        digest.update(b"|" if pair.target is None else b":")
    return digest.hexdigest()


def _build(
    path: Path, pairs: Sequence[Pair], how: PairFormat, workers: int, progress: Callable[[int, int], None]
) -> None:
    labeller = None if how.palette is None else Labeller(how.palette)
    height, width = (how.size, how.size) if how.size else read_pair_size(pairs[0])
    bands = how.source_bands + how.target_bands + how.has_labels
    with atomic_path(path) as temporary:
        out = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.uint8, shape=(len(pairs), height, width, bands)
        )
        _claim(temporary)

        def decode(i: int) -> tuple[int, int]:
            source, target, ignored = read_masked_pair(pairs[i], how.direction, how.bands, how.limits)
            shape = source.shape[0], source.shape[1]
            if min(shape) < MIN_SIDE:
                raise ImageError(
                    f"{pairs[i].source} shows {shape[1]}×{shape[0]} px, too few for a picture: replace it"
                )
            if how.size is None and shape != (height, width):
                return shape  # the error below names it
            source, target = (resize(one, height, width) for one in (source, target))
            parts = [source, target] if how.targets else [source]
            if how.has_labels:
                labels = np.zeros((height, width), np.uint8) if labeller is None else labeller(target)
                if ignored is not None:
                    labels[_resize_mask(ignored, height, width)] = IGNORED
                parts.append(labels[..., None])
            np.concatenate(parts, axis=2, out=out[i])
            return shape

        # Threads, since Pillow decodes and resizes without the interpreter's lock.
        pool = ThreadPoolExecutor(workers or processor().threads)
        try:
            first: tuple[int, int] | None = None
            for i, shape in enumerate(pool.map(decode, range(len(pairs)))):
                first = first or shape
                if shape != first:
                    raise DataError(
                        f"the pairs have mixed sizes: {pairs[0].source} is {first[1]}×{first[0]} px a side, "
                        f"{pairs[i].source} is {shape[1]}×{shape[0]}; crop or resize them to one size"
                    )
                progress(i + 1, len(pairs))
        finally:
            pool.shutdown(cancel_futures=True)
        out.flush()


def _resize_mask(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Resize the mask of ignored pixels: also those into which the filter of `resize` mixes ignored ones."""
    share = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    mixed: NDArray[np.bool_] = np.abs(np.asarray(share)) > MIXED
    return mixed


def _claim(path: Path) -> None:
    """Claim the blocks of a sparse file: a full disk is then an error now, and no crash (SIGBUS) later."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
