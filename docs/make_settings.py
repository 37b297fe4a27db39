"""Writes docs/settings.md from the settings' code; `--check` only says whether it is up to date."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from sat2map.settings import SETTINGS, TrainSettings, flatten, load_settings, preset_names
from sat2map.settings.flat import GROUPS
from sat2map.settings.loading import SAME_PRESETS

PAGE = Path(__file__).with_name("settings.md")
# What most trainings of a user's own pairs change; the page shows these, and folds the others away.
USUAL = ("data", "run", "gsd", "palette", "minutes", "epochs", "batch_size", "crop_size", "device")
INTRO = """# Settings

A training has {count} settings in {groups} groups. Their defaults are the preset `default`. A run starts
from a preset or a TOML file (`preset = "paper"`, then tables such as `[schedule]` with `minutes = 60`), and
each setting is a flag too: `learning_rate` is `--learning-rate`. `sat2map presets show paper` prints a preset
as such a file, with a comment for each setting, ready to edit. Files of sat2map 0.1, which had no tables, are
still read. Without a palette, `default` becomes the preset `rgb`.
"""


def values_of(annotation: object, metadata: Iterable[object]) -> str:
    """Say which values a setting takes, as a user writes them; "" where its meaning says it."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values_of(args[0], args[1:])
    if origin is Literal:
        return "`" + "`, `".join(map(str, args)) + "`"
    if origin in (Union, types.UnionType):
        return values_of(next(arg for arg in args if arg is not type(None)), metadata)
    if origin is tuple:
        return f"two numbers, {values_of(args[0], ())}"
    return bounds(metadata)


def bounds(metadata: Iterable[object]) -> str:
    """Say in words which numbers are allowed; bounds that only keep nonsense out are left out."""
    flat = [part for one in metadata for part in getattr(one, "metadata", [one])]
    low = next((f"{one.ge}" for one in flat if isinstance(one, Ge)), "")
    above = next((f"above {one.gt}" for one in flat if isinstance(one, Gt)), "")
    high = next((f"{one.le}" for one in flat if isinstance(one, Le)), "")
    below = next((f"below {one.lt}" for one in flat if isinstance(one, Lt)), "")
    if (high or below) and len(high) <= 6:
        return f"{low or above} to {high or below}"
    return above or (f"{low} or more" if low else "")


def value(found: object) -> str:
    """Write a value as a flag has it."""
    if isinstance(found, tuple):
        return f"`{' '.join(f'{one:g}' for one in found)}`"
    if isinstance(found, dict):
        return "" if not found else f"`{found}`"
    return "none" if found is None else f"`{found:g}`" if isinstance(found, float) else f"`{found}`"


def table(names: Iterable[str]) -> list[str]:
    """Return a table of settings, a line each."""
    defaults = flatten(TrainSettings())
    lines = ["| setting | default | meaning | values |", "|---|---|---|---|"]
    for name in names:
        info = SETTINGS[name].info
        values = values_of(info.annotation, info.metadata)
        lines.append(f"| `{name}` | {value(defaults[name])} | {info.description} | {values} |")
    return lines


def folded(summary: str, lines: Iterable[str]) -> list[str]:
    """Return lines that a reader folds out."""
    return [f'<details markdown="1"><summary>{summary}</summary>\n', *lines, "\n</details>"]


def page() -> str:
    """Return the page as Markdown."""
    lines = [
        INTRO.format(count=len(SETTINGS), groups=len(GROUPS)),
        *table(USUAL),
        "\nThe others, by group:\n",
    ]
    for group, model in GROUPS.items():
        names = [name for name, each in SETTINGS.items() if each.group == group and name not in USUAL]
        lines += folded(f"<code>[{group}]</code> {model.__doc__}", table(names))
    defaults, rows = flatten(TrainSettings()), ["| preset | what it changes of the defaults |", "|---|---|"]
    for name in (name for name in preset_names() if name not in SAME_PRESETS):
        others = [other for other, same in SAME_PRESETS.items() if same == name]
        title = ", ".join(f"`{one}`" for one in [name, *others])
        values = flatten(load_settings(name))
        changed = [f"`{each}` {value(found)}" for each, found in values.items() if found != defaults[each]]
        rows.append(f"| {title} | {', '.join(changed) or 'nothing'} |")
    lines += folded("Presets: what each changes of the defaults", rows)
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text("utf-8") != page():
            sys.exit("docs/settings.md is not what the code says: run `make docs`")
    else:
        PAGE.write_text(page(), "utf-8")
