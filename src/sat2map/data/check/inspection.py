"""Inspection of one pair: what is wrong with it, and the statistics that it is compared by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sat2map.data.check.overlap import thumbnail
from sat2map.data.pairs import Pair
from sat2map.data.read_pair import reject_numbers
from sat2map.errors import ImageError
from sat2map.images.pixels import Picture, read_image

MAX_CLASSES: Final = 64  # a grey target of no larger numbers holds classes: as levels, it would be all dark


Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something about a data set that a person should know.

    Attributes:
        kind: What kind of thing, a word that stays the same: "unreadable", "overlap".
        severity: An error spoils a training or its scores; a warning may be meant.
        where: The file, pair or two pairs, relative to the data set.
        message: What is wrong there, and the nearest fix.
    """

    kind: str
    severity: Severity
    where: str
    message: str


@dataclass(frozen=True)
class Inspection:
    """A pair that could be read.

    Attributes:
        size: Height and width of a side (px).
        digest: Hash of both sides' pixels.
        constant: Whether the source and the target are one colour all over.
        lean: Log-odds by which the target has more equal neighbouring pixels than the source: above 0 where
            the target is the map, below 0 where the source is.
        transparent: Share of the source and of the target that is transparent.
        class_numbers: The largest number where the target is grey and holds class numbers, else None.
        thumbnails: Source and target as `overlap.thumbnail` makes them, if asked for.
    """

    size: tuple[int, int]
    digest: bytes
    constant: tuple[bool, bool]
    lean: float
    transparent: tuple[float, float]
    class_numbers: int | None
    thumbnails: tuple[NDArray[np.float16], NDArray[np.float16]] | None


def inspect_pair(pair: Pair, root: Path, with_thumbnails: bool) -> Inspection | Finding:
    """Read a pair and return its marks, or the fault that keeps it from being read.

    Findings name files from `root`.
    """
    pictures: list[Picture] = []
    for path in pair.files:
        try:
            pictures.append(read_image(path))
        except ImageError as error:
            return Finding("unreadable", "error", relative(path, root), str(error).removeprefix(f"{path} "))
    where = relative(pair.source, root)
    try:
        reject_numbers(pair.files[-1], pictures[-1])
    except ImageError as error:
        return Finding("unreadable", "error", where, str(error))
    if pair.target is None:
        height, width = pictures[0].pixels.shape[:2]
        if width % 2:
            message = f"is {width} px wide: a side-by-side pair needs an even width; crop one column"
            return Finding("odd-width", "error", where, message)
        if width != 2 * height:
            message = f"is {width}×{height} px: a side-by-side pair is twice as wide as high"
            return Finding("not-side-by-side", "error", where, message)
        pictures = _halves(pictures[0])
    images = [picture.pixels for picture in pictures]
    source, target = images
    if source.shape[:2] != target.shape[:2]:
        message = (
            f"is {in_pixels(source.shape)}, its partner {in_pixels(target.shape)}: resize one to the other"
        )
        return Finding("size-mismatch", "error", where, message)
    equal = _equal_neighbours(source), _equal_neighbours(target)
    digest = hashlib.blake2b(repr((source.shape, target.shape)).encode(), digest_size=16)
    digest.update(source.tobytes())
    digest.update(target.tobytes())
    return Inspection(
        size=(source.shape[0], source.shape[1]),
        digest=digest.digest(),
        constant=(_is_constant(source, equal[0]), _is_constant(target, equal[1])),
        lean=_log_odds(_flatness(equal[1])) - _log_odds(_flatness(equal[0])),
        transparent=(_transparent(pictures[0]), _transparent(pictures[1])),
        class_numbers=_class_numbers(target),
        thumbnails=(thumbnail(source), thumbnail(target)) if with_thumbnails else None,
    )


def _halves(picture: Picture) -> list[Picture]:
    half = picture.pixels.shape[1] // 2
    alpha = picture.alpha
    return [
        Picture(picture.pixels[:, columns], None if alpha is None else alpha[:, columns])
        for columns in (slice(half), slice(half, None))
    ]


def _transparent(picture: Picture) -> float:
    return 0.0 if picture.alpha is None else float((picture.alpha == 0).mean())


def _class_numbers(target: NDArray[np.uint8]) -> int | None:
    """Return the largest number of a grey image with a few small numbers only; 255 marks what is ignored."""
    if target.shape[2] != 1:
        return None
    numbers = np.unique(target)
    numbers = numbers[numbers < 255]
    few = 0 < len(numbers) <= MAX_CLASSES and numbers[-1] < MAX_CLASSES
    return int(numbers[-1]) if few else None


def relative(path: Path, root: Path) -> str:
    """Name `path` from `root` where it lies below it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def in_pixels(size: tuple[int, ...]) -> str:
    """Write a size (height, width, ...) as people do, width first."""
    return f"{size[1]}×{size[0]} px"


def _equal_neighbours(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels of (h, w, bands) are exactly as their left neighbour, (h, w - 1)."""
    bands = [pixels[:, 1:, band] == pixels[:, :-1, band] for band in range(pixels.shape[2])]
    return np.asarray(np.logical_and.reduce(bands))


def _is_constant(pixels: NDArray[np.uint8], equal: NDArray[np.bool_]) -> bool:
    return bool(equal.all() and (pixels[:, 0] == pixels[0, 0]).all())


def _flatness(equal: NDArray[np.bool_]) -> float:
    """Return the share of pixels equal to their neighbour, 0..1: the median of 8 by 8 blocks.

    Even a busy JPEG of a map has more of them than a photo; the median, as a photo may have an empty corner.
    """
    blocks = [block for rows in np.array_split(equal, 8) for block in np.array_split(rows, 8, axis=1)]
    return float(np.median([np.count_nonzero(block) / max(1, block.size) for block in blocks]))


def _log_odds(share: float) -> float:
    share = min(max(share, 1e-3), 1 - 1e-3)
    return float(np.log(share / (1 - share)))
