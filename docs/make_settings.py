"""Writes docs/settings.md from the settings' code; `--check` only says whether it is up to date."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from sat2map.settings import SETTINGS, TrainSettings, flatten, load_settings, preset_names
from sat2map.settings.flat import GROUPS
from sat2map.settings.loading import SAME_PRESETS

PAGE = Path(__file__).with_name("settings.md")
INTRO = """# Settings

A training has {count} settings in {groups} groups. Their defaults are the preset `default`. A run starts
from a preset or a TOML file, and each setting is a flag too: `learning_rate` is `--learning-rate`.

```toml
preset = "default"  # where it starts from; without it, from the same

[data]
path = "pairs"      # the flag is --data
gsd = 0.9

[schedule]
minutes = 60
```

`sat2map presets show paper` prints a preset as a TOML file with a comment for each setting, ready to edit.
Files of sat2map 0.1, which had no tables, are still read. Without a palette, `default` becomes the preset
`rgb`.

"""


def kind(annotation: object, metadata: list[object]) -> str:
    """Name a setting's type and range as a user writes it."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind(args[0], list(args[1:]))
    if origin is Literal:
        return ", ".join(f"`{arg}`" for arg in args)
    if origin in (Union, types.UnionType):
        inner = [kind(arg, metadata) for arg in args if arg is not type(None)]
        return ", ".join([*inner, "none"])
    if origin is tuple:
        return f"{len(args)} × {kind(args[0], [])}"
    if origin is dict:
        return "table of weights"
    name = {"int": "whole number", "float": "number", "str": "text", "Path": "path"}[annotation.__name__]  # type: ignore[attr-defined]
    return f"{name}{bounds(metadata)}"


def bounds(metadata: list[object]) -> str:
    """Return a range as ` 0..1`, or ""."""
    flat = [part for one in metadata for part in getattr(one, "metadata", [one])]
    low = next((str(one.ge) for one in flat if isinstance(one, Ge)), None)
    low = next((f">{one.gt}" for one in flat if isinstance(one, Gt)), low)
    high = next((str(one.le) for one in flat if isinstance(one, Le)), None)
    high = next((f"<{one.lt}" for one in flat if isinstance(one, Lt)), high)
    large = high is not None and len(high) > 6  # bounds that only keep nonsense out
    return f" {low}.." + ("" if high is None or large else high) if low is not None else ""


def value(found: object) -> str:
    """Write a value as a flag has it."""
    if isinstance(found, tuple):
        return f"`{' '.join(f'{one:g}' for one in found)}`"
    if isinstance(found, dict):
        return "" if not found else f"`{found}`"
    return "none" if found is None else f"`{found:g}`" if isinstance(found, float) else f"`{found}`"


def page() -> str:
    """Return the page as Markdown."""
    presets = {name: flatten(load_settings(name)) for name in preset_names() if name not in SAME_PRESETS}
    defaults = flatten(TrainSettings())
    lines = [INTRO.format(count=len(SETTINGS), groups=len(GROUPS))]
    for group, model in GROUPS.items():
        lines += [f"## {group.capitalize()}\n", f"{model.__doc__}\n"]
        lines += ["| setting | default | values | meaning |", "|---|---|---|---|"]
        for name, setting in SETTINGS.items():
            if setting.group == group:
                values = kind(setting.info.annotation, setting.info.metadata)
                lines.append(
                    f"| `{name}` | {value(defaults[name])} | {values} | {setting.info.description} |"
                )
        lines.append("")
    lines += ["## Presets\n", "What each preset changes of the defaults.\n"]
    for name, values_ in presets.items():
        others = [other for other, same in SAME_PRESETS.items() if same == name]
        title = ", ".join(f"`{one}`" for one in [name, *others])
        changed = [
            f"`{setting}` {value(found)}" for setting, found in values_.items() if found != defaults[setting]
        ]
        lines.append(f"- {title}: {', '.join(changed) or 'nothing'}")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text("utf-8") != page():
            sys.exit("docs/settings.md is not what the code says: run `make docs`")
    else:
        PAGE.write_text(page(), "utf-8")
