"""Owns the cache: all pairs of a split decoded once, at load size, in one uint8 memory map."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.data.pairs import Pair, read_pair
from sat2map.errors import DataError, ImageError
from sat2map.files import atomic_path, cache_folder
from sat2map.images.pixels import resize
from sat2map.runtime.cpu import processor
from sat2map.settings import Direction

MIN_SIDE = 4  # px; enlarged to load size, less would be one flat colour
FORMAT = 1  # raise when what a cache file holds changes


@dataclass(frozen=True)
class PairCache:
    """Pairs as one array, memory-mapped.

    Attributes:
        pixels: uint8 (n, size, size, source_bands + target_bands), input bands first.
        names: The pairs' names, in the same order.
        groups: Their groups, or their names where they have none.
        source_bands: How many of the bands are the generator's input.
        fingerprint: Hash of all files and of how they were read; names the data in a model file.
    """

    pixels: NDArray[np.uint8]
    names: list[str]
    groups: list[str]
    source_bands: int
    fingerprint: str

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sources(self) -> NDArray[np.uint8]:
        """Inputs of the generator, uint8 (n, size, size, source_bands)."""
        return self.pixels[..., : self.source_bands]

    @property
    def targets(self) -> NDArray[np.uint8]:
        """Outputs of the generator, uint8 (n, size, size, target_bands)."""
        return self.pixels[..., self.source_bands :]


def open_cache(
    pairs: Sequence[Pair],
    size: int,
    *,
    direction: Direction = "source-to-target",
    bands: tuple[int, int] = (3, 3),
    workers: int = 0,
) -> PairCache:
    """Open the cache of these pairs at this size, building it where it is missing.

    The file's name is a hash of all that decides its content, the image files' bytes among it, so a changed
    file makes a new cache. It appears under that name only when whole: of two processes that start at once,
    both build, and either result serves.

    Args:
        pairs: What to read.
        size: Side to which both images are resized (px).
        direction: Which side is the input.
        bands: Bands of source and target on disk.
        workers: Threads that decode; 0 for one a core.

    Raises:
        DataError: The pairs' sizes are mixed.
        ImageError: A pair cannot be read.
        OutputError: The cache folder cannot be written, or its disk is full.
    """
    fingerprint = _fingerprint(pairs, size, direction, bands)
    path = cache_folder() / f"{fingerprint}.npy"
    if not path.exists():
        _build(path, pairs, size, direction, bands, workers)
    pixels = np.load(path, mmap_mode="c")  # copy on write: torch warns of arrays that it may not write
    source_bands = bands[1] if direction == "target-to-source" else bands[0]
    groups = [pair.group if pair.group is not None else pair.name for pair in pairs]
    return PairCache(pixels, [pair.name for pair in pairs], groups, source_bands, fingerprint)


def _fingerprint(pairs: Sequence[Pair], size: int, direction: Direction, bands: tuple[int, int]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([FORMAT, size, direction, bands]).encode())
    for pair in pairs:
        for path in pair.files:
            try:
                digest.update(hashlib.blake2b(path.read_bytes()).digest())
            except OSError as error:
                raise ImageError(f"{path} cannot be read: {error.strerror}") from None
        digest.update(b"|" if pair.target is None else b":")
    return digest.hexdigest()


def _build(
    path: Path,
    pairs: Sequence[Pair],
    size: int,
    direction: Direction,
    bands: tuple[int, int],
    workers: int,
) -> None:
    with atomic_path(path) as temporary:
        out = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.uint8, shape=(len(pairs), size, size, sum(bands))
        )
        _claim(temporary)

        def decode(i: int) -> tuple[int, int]:
            source, target = read_pair(pairs[i], direction, bands)
            if min(source.shape[:2]) < MIN_SIDE:
                height, width = source.shape[:2]
                raise ImageError(
                    f"{pairs[i].source} shows {width}×{height} px, too few for a picture: replace it"
                )
            out[i] = np.dstack([resize(source, size, size), resize(target, size, size)])
            return source.shape[0], source.shape[1]

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
        finally:
            pool.shutdown(cancel_futures=True)
        out.flush()


def _claim(path: Path) -> None:
    """Claim the blocks of a sparse file: a full disk is then an error now, and no crash (SIGBUS) later."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
