"""Which bands of a file are red, green, blue, near infrared, grey and alpha, by what the file says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from sat2map.errors import ImageError, SettingsError

COLOURS: Final = ("red", "green", "blue")

Limits = tuple[tuple[float, float], ...]
"""Lowest and highest value of each band, which become 0 and 255."""

# Sentinel-2, and Landsat 8 and 9, which agree in these.
_SATELLITE_BANDS: Final = {2: "blue", 3: "green", 4: "red"}
_NIR: Final = re.compile(r"\b(nir|near[ _-]?infra[ _-]?red|infra[ _-]?red|ir)\b")
_OTHER_REDS: Final = re.compile(r"red[ _-]?edge|infra[ _-]?red")
_NUMBERED: Final = re.compile(r"\bb ?(0?)(\d{1,2})(a?)\b")


def band_meanings(dataset: Any) -> list[str]:
    """Return what each band of a rasterio dataset is: "red", "nir", "grey", "alpha", …, or "" where unknown.

    The colour interpretation counts, then the description ("Red", "B04 (665 nm)").
    """
    plain = {"gray": "grey", "undefined": "", "palette": ""}
    meanings = [plain.get(interp.name, interp.name) for interp in dataset.colorinterp]
    described = _by_description([text or "" for text in dataset.descriptions])
    if set(COLOURS) <= set(described):
        # GDAL calls the first band of anything grey, and the first three of any four bytes RGB.
        return [
            "alpha" if meaning == "alpha" else text for meaning, text in zip(meanings, described, strict=True)
        ]
    return [
        text if meaning in ("", "grey") and text else meaning
        for meaning, text in zip(meanings, described, strict=True)
    ]


def choose_bands(
    meanings: Sequence[str], wanted: Sequence[str], name: object
) -> tuple[tuple[int, ...], str | None]:
    """Find the wanted bands of a file, such as ("red", "green", "blue") or ("grey",), by its `band_meanings`.

    Returns:
        Band numbers from 1, and a note where their meaning was assumed.

    Raises:
        ImageError: There are too few bands.
    """
    if set(wanted) <= set(meanings):
        return tuple(meanings.index(want) + 1 for want in wanted), None
    image = [number for number, meaning in enumerate(meanings, 1) if meaning != "alpha"]
    if not image:  # a single band that is marked as alpha
        image = list(range(1, len(meanings) + 1))
    if len(image) == 1:
        return tuple(image * len(wanted)), None
    has = f"{name} has {len(meanings)} bands"
    if len(image) < len(wanted):
        raise ImageError(
            f"{has} where {len(wanted)} are needed ({', '.join(wanted)})",
            hint="choose among them, repeating some",
            setting="bands",
        )
    taken = image[: len(wanted)]
    numbers = ", ".join(map(str, taken))
    if len(wanted) > len(COLOURS) + 1:  # in the order of the file, whatever they are
        extra = f"{has}: bands {numbers} were used; the setting 'bands' chooses others"
        return tuple(taken), extra if len(image) > len(wanted) else None
    note = (
        f"{has} and does not say which are {', '.join(wanted)}: bands {numbers} were used; the "
        "setting 'bands' chooses others"
    )
    return tuple(taken), note


def check_bands(bands: Sequence[int], count: int, needed: int, name: object) -> None:
    """Check a choice of bands, numbers from 1, of a file that has `count`.

    Raises:
        SettingsError: There is no such band, or they are too many or too few.
    """
    has = f"{name} has {count} band{'s' if count > 1 else ''}"
    missing = [band for band in bands if not 1 <= band <= count]
    if missing:
        raise SettingsError(f"{has}, and no band {missing[0]}", hint="bands count from 1", setting="bands")
    if len(bands) != needed:
        example = ",".join(str(i % count + 1) for i in range(needed))
        raise SettingsError(
            f"{len(bands)} bands are chosen, but this model takes {needed}",
            hint=f"choose {needed}, such as {example}",
            setting="bands",
        )


def default_names(count: int) -> tuple[str, ...]:
    """Return the bands of a model that names none: grey; red, green, blue, near infrared; or numbers."""
    if count < 3:
        return ("grey", "band 2")[:count]
    return (*COLOURS, "nir")[:count] if count <= 4 else tuple(f"band {i + 1}" for i in range(count))


def _by_description(texts: Sequence[str]) -> list[str]:
    texts = [text.lower().replace("_", " ") for text in texts]
    numbers = [_NUMBERED.search(text) for text in texts]
    # "B4" is red for Sentinel-2 and Landsat 8, near infrared for Landsat 7: 04, 8A and 9 to 12 tell which.
    tells = any(found and (found[1] or found[3] or int(found[2]) >= 9) for found in numbers)
    sentinel = any(found and (found[1] or found[3]) for found in numbers)
    meanings = []
    for text, found in zip(texts, numbers, strict=True):
        meaning = ""
        if _NIR.search(text):
            meaning = "nir"
        elif not _OTHER_REDS.search(text):
            meaning = next((colour for colour in COLOURS if re.search(rf"\b{colour}\b", text)), "")
        if not meaning and found and tells and not found[3]:
            meaning = _SATELLITE_BANDS.get(int(found[2]), "nir" if found[2] == "8" and sentinel else "")
        if not meaning and text in ("r", "g", "b"):
            meaning = COLOURS["rgb".index(text)]
        meanings.append(meaning)
    return meanings
