"""Owns what the commands do: one function a command turns words into settings and makes one call.

The modules that do the work are imported inside the commands: torch only where one needs it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import signature
from typing import Any

from sat2map.cli.parsing import parse_words


def run(name: str, module: str, words: Sequence[str]) -> None:
    """Run the command of that name ("data check") with the words that follow it.

    Args:
        name: The command; its function in the module is called `data_check`.
        module: Where it is defined.
        words: What was typed behind it.

    Raises:
        SettingsError: The words do not fit the command.
        Sat2MapError: Whatever the command raises.
    """
    command: Callable[..., None] = getattr(import_module(module), name.replace(" ", "_").replace("-", "_"))
    if "words" in signature(command).parameters:  # it reads them itself
        command(words)
        return

    @functools.wraps(command)
    def bind(*args: Any, **flags: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **flags)

    known = command.__annotations__.keys() - {"return"}
    parse_words(bind, words, prog=f"sat2map {name}", known=known)()
