"""Reading of pairs: both images of one, at one size, with the pixels that are ignored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.data.pairs import Pair
from sat2map.errors import ImageError
from sat2map.images.bands import Limits
from sat2map.images.levels import text_of, use_limits
from sat2map.images.pixels import Picture, read_image, read_size, with_bands
from sat2map.settings import Direction


def read_pair(
    pair: Pair,
    direction: Direction = "source-to-target",
    bands: tuple[int, int] = (3, 3),
    limits: Limits | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Decode the images of a pair (see `read_masked_pair`)."""
    return read_masked_pair(pair, direction, bands, limits)[:2]


def read_masked_pair(
    pair: Pair,
    direction: Direction = "source-to-target",
    bands: tuple[int, int] = (3, 3),
    limits: Limits | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Decode a pair.

    Args:
        pair: Where it lies.
        direction: `target-to-source` swaps the two.
        bands: Bands of source and target on disk, before any swap.
        limits: Of each band of the source, where it has more than 8 bits; None: 8 bits, or measured.

    Returns:
        Input and output of the generator, uint8 (h, w, bands) each, of one size; and the ignored pixels, bool
        (h, w), which are those that are transparent in either, or None where neither has alpha.

    Raises:
        ImageError: A file cannot be decoded, cannot be split in two, the sides' sizes differ, the source has
            8 bits where limits are given, or the target
            holds numbers beyond 8 bits, such as class numbers: stretched to grey levels they would mean
            something else in each file.
    """
    image = read_image(pair.source, bands=bands[0] if pair.target else max(bands), stretch=use_limits(limits))
    if limits is not None and not image.stretched:
        raise ImageError(
            f"{pair.source} holds 8 bits, where other numbers are known ({text_of(limits)})",
            hint="use the file that it was made of",
        )
    if pair.target is None:
        half, odd = divmod(image.pixels.shape[1], 2)
        if odd:
            raise ImageError(
                f"{pair.source} is {2 * half + 1} px wide: a side-by-side pair needs an even width; crop one "
                "column"
            )
        source, target = image.pixels[:, :half], image.pixels[:, half:]
        if max(bands) > 3:  # the side with fewer has the first ones
            source, target = source[..., : bands[0]], target[..., : bands[1]]
        alphas = [] if image.alpha is None else [image.alpha[:, :half], image.alpha[:, half:]]
        reject_numbers(pair.source, image)
    else:
        other = read_image(pair.target, bands=bands[1])
        source, target = image.pixels, other.pixels
        if source.shape[:2] != target.shape[:2]:
            raise ImageError(
                f"{pair.source} is {_size(source)} px but its partner {pair.target} is {_size(target)} px: "
                "resize one to the other"
            )
        alphas = [alpha for alpha in (image.alpha, other.alpha) if alpha is not None]
        reject_numbers(pair.target, other)
    ignored = np.logical_or.reduce([alpha == 0 for alpha in alphas]) if alphas else None
    source = with_bands(source, bands[0], pair.source)
    target = with_bands(target, bands[1], pair.target or pair.source)
    return (target, source, ignored) if direction == "target-to-source" else (source, target, ignored)


def read_pair_size(pair: Pair) -> tuple[int, int]:
    """Return (height, width) of a pair's images in pixels, from the file's header alone.

    Raises:
        ImageError: The file is missing or not an image.
    """
    height, width = read_size(pair.source)
    return height, width if pair.target else width // 2


def pair_notes(pair: Pair, bands: tuple[int, int] = (3, 3), limits: Limits | None = None) -> list[str]:
    """Return what is assumed of a pair's source, such as bands or limits; likely it is so of the others too.

    Raises:
        ImageError: It cannot be decoded.
    """
    count = bands[0] if pair.target else max(bands)
    notes = read_image(pair.source, bands=count, stretch=use_limits(limits)).notes
    return [note.partition("; the setting")[0] for note in notes]  # those are of translations


def reject_numbers(path: Path, target: Picture) -> None:
    """Refuse a target of class numbers, heights or the like.

    Raises:
        ImageError: Its samples have more than 8 bits.
    """
    if target.stretched:
        raise ImageError(
            f"the target {path} holds numbers of more than 8 bits, and a target is a map in colours",
            hint="save it as 8-bit RGB with a colour for each class",
        )


def _size(pixels: NDArray[np.uint8]) -> str:
    return f"{pixels.shape[1]}×{pixels.shape[0]}"
