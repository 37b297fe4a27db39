"""Reading the arguments of a command: tyro parses them, and what does not fit becomes one sentence.

The modules that do the work are imported inside the commands: torch only where one needs it.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from inspect import signature
from typing import Any

import tyro

from sat2map.errors import SettingsError
from sat2map.runtime.cpu import prepare_openmp


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
    prepare_openmp()  # first, as some commands' modules import PyTorch
    command: Callable[..., None] = getattr(import_module(module), name.replace(" ", "_").replace("-", "_"))
    if "words" in signature(command).parameters:  # it reads them itself
        command(words)
        return

    @functools.wraps(command)
    def bind(*args: Any, **flags: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **flags)

    known = command.__annotations__.keys() - {"return"}
    parse_words(bind, words, prog=f"sat2map {name}", known=known)()


def parse_words(
    kind: Callable[..., Any],
    words: Sequence[str],
    *,
    prog: str,
    known: Iterable[str],
    description: str | None = None,
) -> Any:
    """Let tyro read the words; what does not fit becomes one sentence where tyro would draw a box.

    Args:
        kind: What to make of the words.
        words: The words.
        prog: The command, as it is typed.
        known: Names of its flags.
        description: What the help says; none: the docstring of `kind`.

    Raises:
        SettingsError: The words do not fit.
    """
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            made, unknown = tyro.cli(
                kind, args=list(words), prog=prog, description=description, return_unknown_args=True
            )
    except SystemExit as stop:
        if stop.code:
            raise SettingsError(f"{_sentence_of(box.getvalue())}; '{prog} --help' tells more") from None
        raise
    if unknown:
        flag = unknown[0].split("=")[0]
        close = difflib.get_close_matches(flag, [f"--{name.replace('_', '-')}" for name in known], n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"'{prog} --help' lists all"
        what = "unknown setting" if flag.startswith("-") else "nothing to do with"
        raise SettingsError(f"{what} '{flag}', {hint}")
    return made


def _sentence_of(box: str) -> str:
    """Return the first paragraph of an error that tyro has drawn: below the title, above the next rule."""
    lines = [line.strip(" │|╭╮╰╯") for line in box.splitlines()]
    lines = [line for line in lines if line][1:]
    if lines and not lines[0].strip("-─"):
        del lines[0]
    rule = next((i for i, line in enumerate(lines) if not line.strip("-─")), len(lines))
    return " ".join(" ".join(lines[:rule]).split()).rstrip(".") or "these words do not fit"
