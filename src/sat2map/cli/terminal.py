"""What commands share on a terminal: notes, progress bars, plurals and how much is printed."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn

LOGGER: Final = logging.getLogger("sat2map")
_flags: Mapping[str, str] = {}  # of the command that runs, by the settings that they give
_SETTING: Final = re.compile(r"the setting '([\w.]+)'")  # as notes of the library name it


@contextlib.contextmanager
def verbosity(*, quiet: bool, verbose: bool, flags: Mapping[str, str]) -> Iterator[None]:
    """Print log records of the package on standard error while a command runs.

    Args:
        quiet: Errors and results only.
        verbose: Everything, warnings of libraries included, which are left out otherwise.
        flags: Flags of the command by the settings that they give, once it is known; errors name them too.
    """
    global _flags
    _flags = flags
    handler = logging.StreamHandler()
    handler.setFormatter(_Format())
    level, propagate = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    try:
        with warnings.catch_warnings():
            if not verbose:
                warnings.simplefilter("ignore")
            yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagate


class _Format(logging.Formatter):
    """Says what kind of record it is, and names settings as the command's flags."""

    def format(self, record: logging.LogRecord) -> str:
        kind = "note" if record.levelno == logging.INFO else record.levelname.lower()
        text = _SETTING.sub(lambda found: _flag_of(found[1]) or found[0], super().format(record))
        return f"{kind}: {text}"


def _flag_of(setting: str) -> str | None:
    """Return the flag that gives a setting, such as `schedule.epochs`, to the command, if it has one."""
    return _flags.get(setting.rpartition(".")[2])


def is_quiet() -> bool:
    """Whether only errors and results are wanted."""
    return not LOGGER.isEnabledFor(logging.INFO)


def say(text: str) -> None:
    """Print what a command has done, unless it runs with --quiet; what it was asked for is printed always."""
    if not is_quiet():
        print(text)


def print_notes(notes: Sequence[str]) -> None:
    """Log each note, which prints it on a line of standard error."""
    for note in notes:
        LOGGER.info(note)


def print_error(sentence: str, setting: str | None = None) -> None:
    """Print an error on one line of standard error, its first word red on a terminal.

    Args:
        sentence: What is wrong.
        setting: What is wrong or would fix it; its flag stands at the end, unless the sentence has it.
    """
    head = "sat2map:"
    if sys.stderr is None:
        return
    flag = _flag_of(setting or "")
    if flag and flag not in sentence:
        sentence = f"{sentence} ({flag})"
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        from rich.console import Console
        from rich.text import Text

        line = Text.assemble((head, "bold red"), f" {' '.join(sentence.split())}")
        Console(stderr=True, highlight=False).print(line, soft_wrap=True)
    else:
        print(f"{head} {' '.join(sentence.split())}", file=sys.stderr)


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun: `1 pair`, `3 pairs`."""
    return f"{count} {singular if count == 1 else plural or f'{singular}s'}"


def open_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or on standard error."""
    from rich.console import Console

    return Console(stderr=stderr, quiet=is_quiet() and stderr)


@contextlib.contextmanager
def progress_bar(
    what: str, *columns: str | ProgressColumn, transient: bool = True, period: float = 30
) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar on standard error while something runs, if that is a terminal.

    Args:
        what: What is being done.
        columns: What the bar shows; without any, what rich shows.
        transient: Whether the bar goes when it is done.
        period: Over which time the speed is taken (s).

    Yields:
        To be called with how much is done, of how much.
    """
    from rich.progress import Progress

    console = open_console(stderr=True)
    if not console.is_terminal:  # rich 13.7 ends a bar that is disabled with an empty line
        yield lambda done, total: None
        return
    with Progress(*columns, console=console, transient=transient, speed_estimate_period=period) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show what is being done, and for how long already, on standard error, if that is a terminal."""
    from rich.progress import SpinnerColumn, TimeElapsedColumn

    with progress_bar(what, SpinnerColumn(), "{task.description}", TimeElapsedColumn()):
        yield


@contextlib.contextmanager
def unit_bar(what: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar that counts a unit, such as tiles, on standard error, if that is a terminal."""
    from rich.progress import BarColumn, ProgressColumn, Task, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.completed:.0f} of {task.total or 0:.0f} {unit}, {task.speed or 0:.1f}/s")

    columns = ("{task.description}", BarColumn(), Speed(), TimeRemainingColumn())
    with progress_bar(what, *columns, transient=False, period=120) as update:
        yield update
