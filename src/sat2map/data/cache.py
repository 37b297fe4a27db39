"""The cache: all pairs of a split decoded once, at one size, in one uint8 memory map."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sat2map.data.pairs import Pair
from sat2map.data.read_pair import read_masked_pair, read_pair_size
from sat2map.errors import DataError, ImageError
from sat2map.files import atomic_path, cache_folder
from sat2map.images.bands import Limits
from sat2map.images.palette import Palette
from sat2map.images.palette.lab import srgb_to_lab
from sat2map.images.palette.labels import IGNORED, Labeller
from sat2map.images.pixels import resize
from sat2map.runtime.cpu import processor
from sat2map.settings import Direction

MIN_SIDE = 4  # px; enlarged to load size, less would be one flat colour
MIXED = 0.01  # share of an ignored pixel from which a resized one is ignored too: 2 grey levels of 255
FORMAT = 1  # raise when what a cache file holds of an image changes
RESIZED = 2  # the same, of a resized one
PALETTE_SAMPLE = 16  # targets that are compared with a palette
NEAR = 15.0  # CIELAB distance within which a colour is that of a palette, after JPEG and antialiasing
LEAST_NEAR = 0.5  # share of the pixels of a map that must be; maps have more than 0.9, photos less than 0.2
READERS = 2  # raise when images are refused that were read: their old caches are then no longer found


@dataclass(frozen=True)
class PairCache:
    """Pairs as one array, memory-mapped.

    Attributes:
        pixels: uint8 (n, h, w, source_bands + target_bands + 1 where there are labels), in this order.
        names: The pairs' names, in the same order.
        groups: Their groups, or their names where they have none.
        source_bands: How many of the bands are the generator's input.
        fingerprint: Hash of all files and of how their images were read; names the data in a model file.
        target_bands: How many of the bands are its output; 0 where only the labels were kept.
        has_labels: Whether the last band is the label map of the target, or marks the ignored pixels alone.
    """

    pixels: NDArray[np.uint8]
    names: list[str]
    groups: list[str]
    source_bands: int
    fingerprint: str
    target_bands: int
    has_labels: bool = False

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sources(self) -> NDArray[np.uint8]:
        """Inputs of the generator, uint8 (n, h, w, source_bands)."""
        return self.pixels[..., : self.source_bands]

    @property
    def targets(self) -> NDArray[np.uint8]:
        """Outputs of the generator, uint8 (n, h, w, target_bands)."""
        return self.pixels[..., self.source_bands : self.source_bands + self.target_bands]

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Nearest palette colours of the targets, uint8 (n, h, w); 255: ignored."""
        assert self.has_labels
        return self.pixels[..., -1]

    def ignored(self, i: int) -> NDArray[np.bool_] | None:
        """Return the pixels of a pair whose truth is unknown, bool (h, w); None where there are none."""
        mask: NDArray[np.bool_] | None = self.labels[i] == IGNORED if self.has_labels else None
        return mask if mask is not None and mask.any() else None

    def sample(self, count: int) -> PairCache:
        """Return so many of the pairs, evenly spaced; all of them where there are no more."""
        chosen = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(int))
        names, groups = ([of[i] for i in chosen] for of in (self.names, self.groups))
        return replace(self, pixels=self.pixels[chosen], names=names, groups=groups)

    def ignored_share(self) -> float:
        """Return the share of all pixels whose truth is unknown, 0 to 1."""
        return (
            sum(float((one == IGNORED).mean()) for one in self.labels) / len(self) if self.has_labels else 0.0
        )

    def share_near(self, palette: Palette) -> float:
        """Return the share of target pixels that have a colour of a palette, 0 to 1, over some pairs."""
        anchors = srgb_to_lab(palette.colours)
        shares = []
        for i in np.linspace(0, len(self) - 1, min(PALETTE_SAMPLE, len(self))).astype(int):
            lab = srgb_to_lab(self.targets[i, ::4, ::4].reshape(-1, 3))
            distance = np.linalg.norm(lab[:, None] - anchors, axis=2).min(axis=1)
            shares.append(float((distance < NEAR).mean()))
        return float(np.mean(shares))


@dataclass(frozen=True)
class PairFormat:
    """How pairs are read into an array.

    Attributes:
        size: Side to which both images are resized (px); None: as they are.
        direction: Which side is the input.
        bands: Bands of source and target on disk.
        palette: Colours of the label maps; None: no label maps.
        targets: Whether the targets are kept beside their label maps.
        ignored: Whether ignored pixels are marked where there is no palette too.
        limits: Of each band of sources of more than 8 bits; None: 8 bits, or measured in each file.
    """

    size: int | None = None
    direction: Direction = "source-to-target"
    bands: tuple[int, int] = (3, 3)
    palette: Palette | None = None
    targets: bool = True
    ignored: bool = False
    limits: Limits | None = None

    @property
    def key(self) -> str:
        """What decides how images are read, as text for a hash."""
        version = FORMAT if self.size is None else RESIZED
        return json.dumps([version, self.size, self.direction, self.bands, *(self.limits or ())])

    def file_name(self, fingerprint: str) -> str:
        """Return the name of the cache file of pairs with this fingerprint."""
        colours = None if self.palette is None else self.palette.colours.tolist()
        about = json.dumps([READERS, fingerprint, colours, self.targets, self.ignored])
        return f"{hashlib.blake2b(about.encode(), digest_size=16).hexdigest()}.npy"

    @property
    def source_bands(self) -> int:
        """How many bands are the generator's input."""
        return self.bands[self.direction == "target-to-source"]

    @property
    def target_bands(self) -> int:
        """How many bands are kept of the generator's output."""
        return self.bands[self.direction != "target-to-source"] if self.targets else 0

    @property
    def has_labels(self) -> bool:
        """Whether there is a last band for labels, or for the mark of ignored pixels."""
        return self.palette is not None or self.ignored

    def cache_of(
        self, pixels: NDArray[np.uint8], names: list[str], groups: list[str], fingerprint: str
    ) -> PairCache:
        """Describe an array of pairs that were read like this."""
        bands = self.source_bands, self.target_bands
        assert pixels.shape[3] == sum(bands) + self.has_labels
        return PairCache(pixels, names, groups, bands[0], fingerprint, bands[1], self.has_labels)


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
    groups = [pair.group if pair.group is not None else pair.name for pair in pairs]
    return how.cache_of(pixels, [pair.name for pair in pairs], groups, fingerprint)


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
