"""Owns shell completion: a script for bash, zsh or tcsh that knows every command and flag."""

from __future__ import annotations

import contextlib
import functools
import io
import operator
from dataclasses import make_dataclass
from importlib import import_module
from inspect import signature
from typing import Annotated, Any, Literal

import tyro

from sat2map.cli.main import COMMANDS, Command
from sat2map.settings import load_settings

Shell = Literal["bash", "zsh", "tcsh"]


def completion(shell: tyro.conf.Positional[Shell]) -> None:
    """Print a script that teaches your shell to complete sat2map's commands and flags.

    Args:
        shell: Which; for bash: sat2map completion bash > ~/.local/share/bash-completion/completions/sat2map
    """
    print(completion_script(shell))


def completion_script(shell: Shell) -> str:
    """Return the script that teaches a shell to complete `sat2map`.

    tyro writes it, from all commands seen as one program.
    """
    single = [_choice(name, _kind(name, command)) for name, command in COMMANDS.items() if " " not in name]
    groups: dict[str, list[Any]] = {}
    for name, command in COMMANDS.items():
        group, _, rest = name.partition(" ")
        if rest:
            groups.setdefault(group, []).append(_choice(rest, _kind(name, command)))
    for group, choices in groups.items():
        kind = make_dataclass(group, [("command", _any_of(choices))])
        single.append(_choice(group, kind))
    script = io.StringIO()
    with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
        tyro.cli(
            _any_of(single),
            prog="sat2map",
            args=["--tyro-print-completion", shell],
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
        )
    return script.getvalue()


def _kind(name: str, command: Command) -> Any:
    module = import_module(command.module)
    name = name.replace(" ", "_").replace("-", "_")
    function = getattr(module, name)
    if "words" not in signature(function).parameters:
        return function
    if name == "train":  # its flags are made of the settings
        return module._flags_of(load_settings("default"))

    def reads_its_words_itself() -> None: ...

    return reads_its_words_itself


def _choice(name: str, kind: Any) -> Any:
    # As a constructor, since a function is no type.
    return Annotated[Any, tyro.conf.subcommand(name), tyro.conf.arg(constructor=kind)]


def _any_of(choices: list[Any]) -> Any:
    return functools.reduce(operator.or_, choices)
