"""A decoded image: its pixels, brought upright, and the errors and notes of decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ImageError, reason

# EXIF orientations of images that are stored with their sides swapped, upside down, or mirrored.
SIDEWAYS: Final = (5, 6, 7, 8)
_ROWS_TURNED: Final = (3, 4, 7, 8)
_COLUMNS_TURNED: Final = (2, 3, 6, 7)


class Picture(NamedTuple):
    """A decoded image file.

    Attributes:
        pixels: uint8 array (height, width, bands), bands 1 or 3, or as many as were asked for.
        alpha: uint8 array (height, width), or None where all of the file is valid.
        notes: What was assumed or left out, for the user.
        stretched: Whether the levels were made of larger numbers, by limits.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    notes: tuple[str, ...] = ()
    stretched: bool = False


def upright(picture: Picture, orientation: int, notes: tuple[str, ...]) -> Picture:
    """Turn an image that is stored with this EXIF orientation, and put notes before its own."""
    rows = -1 if orientation in _ROWS_TURNED else 1
    columns = -1 if orientation in _COLUMNS_TURNED else 1

    def turned(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        sides = planes.swapaxes(0, 1) if orientation in SIDEWAYS else planes
        return np.ascontiguousarray(sides[::rows, ::columns])

    alpha = None if picture.alpha is None else turned(picture.alpha)
    return picture._replace(pixels=turned(picture.pixels), alpha=alpha, notes=(*notes, *picture.notes))


def check_page(path: Path, pages: int, page: int | None) -> tuple[str, ...]:
    """Return the note that a file of several pages needs.

    Raises:
        ImageError: There is no such page.
    """
    if page is not None and not 1 <= page <= pages:
        raise ImageError(
            f"{path} has no page {page}", hint=f"it has {pages}, which count from 1", setting="page"
        )
    if page is None and pages > 1:
        return (
            f"{path} holds {pages} images (pages, frames or views): the first is used; the "
            "setting 'page' picks another",
        )
    return ()


def damaged(path: Path, error: BaseException) -> ImageError:
    """Return the error of a file that cannot be decoded."""
    hint = "it is damaged, fetch or export it again"
    return ImageError(f"{path} cannot be decoded ({reason(error)})", hint=hint)
