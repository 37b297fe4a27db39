"""Palettes learned from maps: the flat colours that cover them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sat2map.errors import DataError, SettingsError
from sat2map.images.palette.lab import pack_rgb, srgb_to_lab, unpack_rgb
from sat2map.images.palette.palette import MapClass, Palette

# A pixel is flat when no neighbour differs by more than this, in grey levels: above the noise of a JPEG,
# below the steps between the colours of a map, so that anti-aliased borders do not count.
_FLAT_LEVELS = 4
# Colours closer than this are one colour, in CIELAB units: land and buildings, the closest classes of the
# built-in palette, are 4 units apart.
_SAME_COLOUR = 3.0
_CANDIDATES = 48  # peaks looked at; a map has a dozen, and what is left of their crowds makes the rest
_LEAST_SHARE = 0.001  # of the pixels, for a colour to count
_LEAST_COVERAGE = 0.4  # of the pixels, for the images to count as maps
# CIELAB hue angles, in degrees, at which each word ends; what is left is pink again.
_HUES = (
    (20, "pink"),
    (50, "red"),
    (80, "orange"),
    (108, "yellow"),
    (170, "green"),
    (220, "cyan"),
    (305, "blue"),
    (330, "purple"),
)


def learn_palette(images: Iterable[npt.NDArray[np.uint8]], *, max_colours: int = 12, name: str) -> Palette:
    """Find the flat colours of maps, a class each, named by the colour ("white", "light-green").

    The peaks of the histogram of flat pixels are refined to the median of the colours around them. The
    largest comes first; each next one is the peak with the most error left, (share of pixels) x (squared
    distance to those taken), so that a rare but distinct colour, such as a highway's, goes before a shade of
    the background.

    Args:
        images: maps, uint8 (h, w, 3), of any sizes, read once.
        max_colours: the most classes to return.
        name: the new palette's name.

    Raises:
        SettingsError: `max_colours` is below 2.
        DataError: There is no image, or they are not maps: a few flat colours do not cover them.
    """
    if max_colours < 2:
        raise SettingsError(f"a palette needs at least 2 colours, not {max_colours}")
    packed, counts, pixels = _flat_colours(images)
    if pixels == 0:
        raise DataError("no image to learn a palette from")
    colours, shares = _peaks(packed, counts / pixels)
    coverage = shares.sum()
    if coverage < _LEAST_COVERAGE:
        raise DataError(
            f"the images do not look like maps: flat colours cover {coverage:.0%} of their pixels, and "
            f"{_LEAST_COVERAGE:.0%} or more of a map's; are source and target swapped?"
        )
    if len(colours) < 2:
        raise DataError("the images have a single flat colour, and a palette needs two; give more maps")
    classes: list[MapClass] = []
    words: Counter[str] = Counter()
    for red, green, blue in colours[_choose(colours, shares, max_colours)].tolist():
        word = _colour_name(red, green, blue)
        words[word] += 1
        unique = word if words[word] == 1 else f"{word}-{words[word]}"
        classes.append(MapClass(name=unique, colours=((red, green, blue),)))
    return Palette(name=name, classes=tuple(classes))


def _flat_colours(
    images: Iterable[npt.NDArray[np.uint8]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Packed colours of flat pixels, int64 (n,), the count of each, int64 (n,), and of all pixels."""
    histogram = np.zeros(1 << 24, dtype=np.int64)  # 128 MiB for a while, however many images
    pixels = 0
    for image in images:
        pixels += image.shape[0] * image.shape[1]
        packed, counts = np.unique(pack_rgb(image[_flat(image)]), return_counts=True)
        histogram[packed] += counts
    present = np.flatnonzero(histogram)
    return present, histogram[present], pixels


def _flat(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels, bool (h, w), that differ by no more than `_FLAT_LEVELS` from the four around them."""
    wide = image.astype(np.int16)
    down = np.abs(np.diff(wide, axis=0)).max(axis=-1) <= _FLAT_LEVELS
    right = np.abs(np.diff(wide, axis=1)).max(axis=-1) <= _FLAT_LEVELS
    flat = np.ones(image.shape[:2], dtype=np.bool_)
    flat[:-1] &= down
    flat[1:] &= down
    flat[:, :-1] &= right
    flat[:, 1:] &= right
    return flat


def _peaks(
    packed: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Colours uint8 (n, 3) that others crowd around, and the share of pixels float64 (n,) in each crowd."""
    rgb = unpack_rgb(packed)
    lab = srgb_to_lab(rgb)
    left = shares.copy()
    colours = np.zeros((0, 3), dtype=np.uint8)
    crowds: list[float] = []
    for _ in range(_CANDIDATES):
        if not left.any():
            break
        crowd = (left > 0) & (_squared(lab, lab[left.argmax()]) <= _SAME_COLOUR**2)
        centre = _weighted_median(rgb[crowd], left[crowd])
        share = left[crowd].sum()
        left[crowd] = 0
        # The rim of a crowd that was taken before is no colour of its own.
        rim = (_squared(srgb_to_lab(colours), srgb_to_lab(centre)) <= _SAME_COLOUR**2).any()
        if share >= _LEAST_SHARE and not rim:
            colours = np.vstack([colours, centre])
            crowds.append(share)
    return colours, np.array(crowds)


def _choose(colours: npt.NDArray[np.uint8], shares: npt.NDArray[np.float64], most: int) -> list[int]:
    """Indices of at most `most` colours, each the one that takes the most from the error that is left."""
    lab = srgb_to_lab(colours)
    chosen: list[int] = []
    error = shares.copy()
    distance = np.full(len(shares), np.inf)
    while len(chosen) < min(most, len(shares)):
        chosen.append(int(error.argmax()))
        distance = np.minimum(distance, _squared(lab, lab[chosen[-1]]))
        error = shares * distance
    return chosen


def _squared(lab: npt.NDArray[np.float32], anchor: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Squared CIELAB distances, float32 (n,), of (n, 3) from (3,)."""
    squared: npt.NDArray[np.float32] = ((lab - anchor) ** 2).sum(axis=-1)
    return squared


def _weighted_median(rgb: npt.NDArray[np.uint8], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Median of each channel, uint8 (3,), of colours (n, 3) that count `weights` (n,)."""
    histograms = [np.bincount(rgb[:, channel], weights) for channel in range(3)]
    return np.array([np.searchsorted(h.cumsum(), h.sum() / 2) for h in histograms], dtype=np.uint8)


def _colour_name(red: int, green: int, blue: int) -> str:
    """Name a colour, 0..255 a channel, in words, from its lightness, chroma and hue in CIELAB."""
    lightness, a, b = srgb_to_lab(np.array([red, green, blue], dtype=np.uint8)).tolist()
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    tone = "light-" if lightness > 75 else "dark-" if lightness < 40 else ""
    if chroma < 8:
        return "white" if lightness > 97 else "black" if lightness < 12 else f"{tone}grey"
    if 45 <= hue < 110 and chroma < 30:
        return "beige" if lightness > 75 else f"{tone}brown"
    word = next((word for limit, word in _HUES if hue < limit), "pink")
    # Light red is what people call pink, and light yellow and orange are simply yellow and orange.
    if tone == "light-" and word in {"red", "orange", "yellow"}:
        return "pink" if word == "red" else word
    return f"{tone}{word}"
