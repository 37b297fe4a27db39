"""Pictures that clients send: which part of a file is translated, and what clients should know of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from sat2map.images.levels import note_of_8_bits, use_limits
from sat2map.images.palette import Palette
from sat2map.images.pixels import Picture
from sat2map.images.side_by_side import photo_of_pair
from sat2map.inference.scale import scale_note
from sat2map.models.model_file import ModelHeader
from sat2map.serve.decoder import Decoder
from sat2map.serve.http_errors import TooManyPixelsError

NOTES_HEADER: Final = "Sat2map-Notes"
PARAMETERS: Final = ("page", "whole", "gsd")  # settings of notes that requests have too
_SETTING: Final = re.compile(r"[;,]? *the setting '(\w+)' [^;]*$")


class Part(NamedTuple):
    """Which part of an image file is translated.

    Attributes:
        page: Page or frame of a file that holds several, from 1; None: the first.
        whole: Whether to take all of an image that looks like a training pair, and not only its photo.
    """

    page: int | None = None
    whole: bool = False


ALL: Final = Part()


def read_picture(
    decoder: Decoder,
    file: bytes | Path,
    size: tuple[int, int],
    header: ModelHeader,
    part: Part = ALL,
    *,
    gsd: float | None = None,
) -> Picture:
    """Decode an image file as `translate` does; the notes are what a client should know.

    `size` is the height and width (px) of its first page, for which memory was reserved.

    Raises:
        ImageError: It is damaged, or has no such page.
        TooManyPixelsError: The page is larger than the first.
    """
    limits = use_limits(header.limits)
    picture = decoder.pixels(file, page=part.page, bands=header.generator.source_bands, stretch=limits)
    height, width = picture.pixels.shape[:2]
    if height * width > size[0] * size[1]:
        raise TooManyPixelsError(
            f"page {part.page} has {width}×{height} px, more than the first one: send it as a file of its own"
        )
    if not part.whole:
        picture = photo_of_pair(picture, header.palette or Palette.load("maps"), "the image")
    assumed = scale_note(header, gsd)
    notes = [*picture.notes, *([assumed] if assumed else [])]
    notes += () if picture.stretched else note_of_8_bits(header.limits, "the image")
    return picture._replace(notes=for_clients(notes, file))


def for_clients(notes: Sequence[str], file: bytes | Path) -> tuple[str, ...]:
    """Return notes without the service's paths, and without settings that requests do not have."""
    found = []
    for note in notes:
        if isinstance(file, Path):
            note = note.replace(str(file), "the image")
        setting = _SETTING.search(note)
        if setting and setting[1] not in PARAMETERS:
            note = note[: setting.start()]
        found.append(note.replace("the setting '", "the parameter '"))
    return tuple(found)


def notes_header(notes: Sequence[str]) -> dict[str, str]:
    """Return the header field of an answer that carries notes: a JSON list, in ASCII."""
    return {NOTES_HEADER: json.dumps(notes)} if notes else {}
