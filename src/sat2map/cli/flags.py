"""Options that several commands share, each with its one name, sentence and range."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar

from cyclopts import Parameter

from sat2map.errors import SettingsError
from sat2map.settings import Device, EngineName, InferenceMode, Precision

Number = TypeVar("Number", int, float)

MAX_THREADS: Final = max(64, 4 * (os.cpu_count() or 1))  # more only wait for each other
MAX_GSD: Final = 100_000.0  # metres; coarser than any imager that sees land
MIN_GSD: Final = 0.001


def between(low: float, high: float) -> Callable[[object, object], None]:
    """Return a validator for a number, or several: each must lie in [low, high]."""

    def check(_kind: object, value: object) -> None:
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (int, float)) and not low <= number <= high:
                raise ValueError(f"use a number from {low:g} to {high:g}")

    return check


ModelFlag = Annotated[
    str | None,
    Parameter(help="Model file, or hf://owner/name; without it, the model that comes with the package."),
]
Gsd = Annotated[float | None, Parameter(validator=between(MIN_GSD, MAX_GSD))]
if TYPE_CHECKING:
    EngineChoice = EngineName
else:  # the folders that the registry finds; a help imports none of them
    _RECORDS = Path(__file__).parents[1].glob("inference/backends/*/record.py")
    EngineChoice = Literal[("auto", *sorted(record.parent.name for record in _RECORDS))]
Engine = Annotated[EngineChoice, Parameter(help="What runs the model; auto: the fastest that is installed.")]
DeviceFlag = Annotated[Device, Parameter(help="Where to run; auto: a GPU if PyTorch sees one, else the CPU.")]
PrecisionFlag = Annotated[
    Precision, Parameter(help="Arithmetic; auto: bf16 where the hardware multiplies it, else fp32.")
]
Mode = Annotated[
    InferenceMode | None,
    Parameter(
        help="eval (running statistics) or paper (batch statistics, dropout); without it, as the model says."
    ),
]
Threads = Annotated[
    int, Parameter(help="CPU threads; 0: one for each core that is free.", validator=between(0, MAX_THREADS))
]
Tta = Annotated[
    bool, Parameter(help="Average over the eight symmetries: slightly better, and eight times slower.")
]
Colors = Annotated[
    str | None,
    Parameter(
        help="Colours of the classes: maps, high-contrast, dark, osm, colour-blind, or a palette file with "
        "the model's classes; without it, the model's own."
    ),
]
Overwrite = Annotated[bool, Parameter(help="Replace existing files.")]
Bands = Annotated[
    str | None,
    Parameter(
        help="Numbers of the bands to read, from 1, in the model's order, such as 4,3,2; without it, those "
        "that the file calls red, green and blue, else the first ones, with a note; a grey band is repeated."
    ),
]
Scale = Annotated[
    str | None,
    Parameter(
        help="Lowest and highest value of bands that are not 8-bit, such as 0,3000; without it, measured "
        "once over all inputs.",
        allow_leading_hyphen=True,
    ),
]
GroupColumn = Annotated[
    str | None, Parameter(help="CSV column of groups (places) that a split never cuts apart.")
]
Seed = Annotated[int, Parameter(help="Seed of every random choice.", validator=between(0, 2**63 - 1))]
Fraction = Annotated[float, Parameter(validator=between(0, 1))]
Count = Annotated[int, Parameter(validator=between(1, 10_000_000))]
Side = Annotated[int, Parameter(validator=between(16, 65_536))]


def parse_numbers(
    text: str | None, kind: Callable[[str], Number], setting: str, example: str, count: int | None = None
) -> tuple[Number, ...] | None:
    """Read numbers with commas between them.

    Args:
        text: What was given, or None.
        kind: int or float.
        setting: Name of the parameter, for the error.
        example: A good value, for the error.
        count: How many there must be; None: one or more.

    Raises:
        SettingsError: They are no finite numbers, or another count of them.
    """
    if text is None:
        return None
    try:
        values = tuple(kind(part) for part in text.split(","))
    except (ValueError, OverflowError):
        values = ()
    if not values or not all(map(math.isfinite, values)) or (count is not None and len(values) != count):
        number = f"{count} numbers" if count else "numbers"
        raise SettingsError(
            f"'{text[:80]}' cannot be read", hint=f"give {number} such as {example}", setting=setting
        )
    return values
