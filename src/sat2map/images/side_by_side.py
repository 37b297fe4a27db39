"""Tells a training pair (a photo with its map beside it, in one file) from a wide photo."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sat2map.images.palette import Palette
from sat2map.images.palette.lab import nearest_colours
from sat2map.images.picture import Picture

MIN_HEIGHT: Final = 64  # px; smaller halves show too little to tell
NEAR: Final = 5.0  # CIELAB units within which a pixel has a colour of the palette, JPEG noise included
SAMPLES: Final = 300  # rows and columns that are looked at

# Shares of pixels in colours of the palette. In the maps data set, photos have 0.04 at most, maps 0.66
# at least. White does not count alone: snow, clouds and empty margins have it too.
MAX_PHOTO_SHARE: Final = 0.2
MIN_MAP_SHARE: Final = 0.6
MIN_COLOURED_SHARE: Final = 0.3
WHITE: Final = 250  # levels; a colour with all bands above is white
MIN_FLATNESS: Final = 0.25  # of the map's half; its least is 0.51
# Snow, haze and empty paper are flat and near the greys of a map; but they have neither colours nor edges.
COLOURFUL: Final = 20  # levels between the bands of a colour that is no grey
MIN_COLOURFUL_SHARE: Final = 0.05
EDGE: Final = 20  # levels across two pixels, as between land and road
MIN_EDGE_SHARE: Final = 0.006  # of pixels; half of the maps have 0.06, snow has 0.0057 at most


def looks_like_a_training_pair(pixels: NDArray[np.uint8], palette: Palette) -> bool:
    """Whether an image holds a photo in its left half and a map in its right half.

    It is twice as wide as high; its right half is mostly in flat colours of the palette, its left one is not.
    Correlation of the halves says nothing: a map is bright where its photo is. Do not ask of images with a
    georeference: they are no pairs.

    Args:
        pixels: uint8 (h, w, 3).
        palette: The palette of the maps.
    """
    height, width = pixels.shape[:2]
    if width != 2 * height or height < MIN_HEIGHT or pixels.shape[2] != 3:
        return False
    step = max(1, height // SAMPLES)
    photo, drawn = pixels[::step, :height:step], pixels[::step, height::step]
    in_map, colours = _palette_shares(drawn, palette), palette.colours
    coloured, colourful = colours.min(axis=1) < WHITE, np.ptp(colours, axis=1) >= COLOURFUL
    return (
        float(in_map.sum()) >= MIN_MAP_SHARE
        and float(in_map[coloured].sum()) >= MIN_COLOURED_SHARE
        and palette_share(photo, palette) <= MAX_PHOTO_SHARE
        and flatness(pixels[:, height:]) >= MIN_FLATNESS
        and (
            in_map[colourful].sum() >= MIN_COLOURFUL_SHARE
            or _edges(pixels[::step, height:]) >= MIN_EDGE_SHARE
        )
    )


def photo_of_pair(picture: Picture, palette: Palette, name: object) -> Picture:
    """Return the left half of an image that looks like a training pair, with a note; any other as it is."""
    pixels, alpha = picture.pixels, picture.alpha
    if not looks_like_a_training_pair(pixels, palette):
        return picture
    half = pixels.shape[1] // 2
    note = (
        f"{name} looks like a training pair (a photo with its map beside it): only its left half, the photo, "
        "is used; the setting 'whole' takes all of it"
    )
    left = None if alpha is None else np.ascontiguousarray(alpha[:, :half])
    photo = np.ascontiguousarray(pixels[:, :half])
    return picture._replace(pixels=photo, alpha=left, notes=(*picture.notes, note))


def flatness(pixels: NDArray[np.uint8]) -> float:
    """Return the share of pixels (h, w, bands) like their left neighbour, 0..1: the median of 8 by 8 blocks.

    Like is within 2 levels, which JPEG adds. The median, as a photo may have an empty corner.
    """
    bands = [
        np.abs(pixels[:, 1:, band].astype(np.int16) - pixels[:, :-1, band]) <= 2
        for band in range(pixels.shape[2])
    ]
    equal = np.logical_and.reduce(bands)
    blocks = [block for rows in np.array_split(equal, 8) for block in np.array_split(rows, 8, axis=1)]
    return float(np.median([np.count_nonzero(block) / max(1, block.size) for block in blocks]))


def palette_share(pixels: NDArray[np.uint8], palette: Palette) -> float:
    """Return the share of pixels, uint8 (h, w, 3), in colours of a palette, 0..1: photos have few of them."""
    return float(_palette_shares(pixels, palette).sum())


def _edges(pixels: NDArray[np.uint8]) -> float:
    """Return the share of pixels (h, w, bands) on an edge between left and right, 0..1."""
    across = np.abs(pixels[:, 2:].astype(np.int16) - pixels[:, :-2])
    return float((across.max(axis=2) >= EDGE).mean())


def _palette_shares(pixels: NDArray[np.uint8], palette: Palette) -> NDArray[np.float64]:
    """Return the share of pixels near each colour of a palette, float64 (colours,)."""
    flat = pixels.reshape(-1, 3)
    nearest, squared = nearest_colours(flat, palette.colours)
    return np.bincount(nearest[squared <= NEAR**2], minlength=len(palette.colours)) / len(flat)
