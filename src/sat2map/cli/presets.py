"""The list of presets, and the command `presets show`: one of them, or a TOML file, written out to edit."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from sat2map.settings import load_settings, preset_summaries, to_toml


def describe_presets() -> str:
    """Return a list of the presets, with a line for each."""
    lines = (f"  {name:<17} {summary}" for name, summary in preset_summaries().items())
    return "\n".join(["", "Presets:", *lines, "", "Train with one: sat2map train NAME --data pairs"])


def show(
    recipe: Annotated[
        str, Parameter(help="A preset, of those that `sat2map presets` lists, or a TOML file.")
    ] = "default",
    /,
) -> None:
    """Print a preset as a TOML file, with a comment for each setting, to edit and train with.

    Examples:
        sat2map presets show paper > my.toml
        sat2map train my.toml --data pairs
    """
    print(to_toml(load_settings(recipe), paths=False))
