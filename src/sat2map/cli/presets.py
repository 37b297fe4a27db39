"""The command `presets show`: a preset, or a file of settings, as TOML to edit."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from sat2map.settings import load_settings, to_toml


def show(recipe: Annotated[str, Parameter(help="A preset, or a TOML file.")] = "default", /) -> None:
    """Print a preset as a TOML file, with a comment for each setting, to edit and train with.

    Examples:
        sat2map presets show paper > my.toml
        sat2map train my.toml --data pairs
    """
    print(to_toml(load_settings(recipe), paths=False))
