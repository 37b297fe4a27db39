"""Writes docs/settings.md from the settings' code; `--check` only says whether it is up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import get_args

from sat2map.settings import TrainSettings, load_settings, preset_names

PAGE = Path(__file__).with_name("settings.md")
INTRO = """# Settings

Every setting of a training, from the code (`src/sat2map/settings.py`). A run starts from a preset or a TOML
file and each setting is a flag too: `learning_rate` is `--learning-rate`. A TOML file may start from a preset
with `preset = "default"`. An empty cell means the *standard* value.

"""


def kind(annotation: object) -> str:
    """Name a setting's type as a user writes it."""
    if args := get_args(annotation):
        return " or ".join(kind(arg) for arg in args)
    name = getattr(annotation, "__name__", str(annotation))
    return "nothing" if name == "NoneType" else name


def page() -> str:
    """Return the page as Markdown."""
    presets = {name: load_settings(name) for name in preset_names()}
    groups = settings_by_heading()
    lines = [INTRO]
    for heading, names in groups.items():
        lines += [f"## {heading}\n", f"| setting | meaning | values | standard | {' | '.join(presets)} |"]
        lines.append("|---" * (4 + len(presets)) + "|")
        for name in names:
            info = TrainSettings.model_fields[name]
            cells = [
                "" if getattr(preset, name) == info.default else f"`{getattr(preset, name)}`"
                for preset in presets.values()
            ]
            lines.append(
                f"| `{name}` | {info.description} | {kind(info.annotation)} | `{info.default}` "
                f"| {' | '.join(cells)} |"
            )
        lines.append("")
    return "\n".join(lines)


def settings_by_heading() -> dict[str, list[str]]:
    """Group the settings by the comments that head them in the code."""
    source = Path(sys.modules[TrainSettings.__module__].__file__ or "").read_text("utf-8")
    body = source[source.index("class TrainSettings") :]
    groups: dict[str, list[str]] = {}
    for line in body.splitlines():
        if heading := re.fullmatch(r"    # ([a-z ]+)", line):
            groups[heading[1].capitalize()] = []
        elif (setting := re.match(r"    (\w+): ", line)) and setting[1] in TrainSettings.model_fields:
            groups[list(groups)[-1]].append(setting[1])
    return groups


if __name__ == "__main__":
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text("utf-8") != page():
            sys.exit("docs/settings.md is not what the code says: run `make docs`")
    else:
        PAGE.write_text(page(), "utf-8")
