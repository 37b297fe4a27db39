"""What commands share on a terminal: consoles, progress bars, notes, and flags that hold several numbers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from sat2map.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Number = TypeVar("Number", int, float)


def open_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or on standard error."""
    from rich.console import Console

    return Console(stderr=stderr)


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error while something goes on, where that is a terminal."""
    from rich.progress import Progress

    console = open_console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def unit_bar(unit: str) -> Progress:
    """Return a progress bar that counts a unit, such as tiles, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.completed:.0f} of {task.total or 0:.0f} {unit}, {task.speed or 0:.1f}/s")

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), Speed(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, speed_estimate_period=120)


def print_notes(notes: Sequence[str]) -> None:
    """Print each note on a line of standard error."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def numbers(
    text: str | None, kind: Callable[[str], Number], flag: str, example: str, count: int | None = None
) -> tuple[Number, ...] | None:
    """Read numbers with commas between them.

    Raises:
        SettingsError: They are no numbers, or another count of them.
    """
    if text is None:
        return None
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or (count is not None and len(values) != count):
        raise SettingsError(
            f"{flag} '{text}' cannot be read: give {count or ''} numbers such as {example}".replace("  ", " ")
        )
    return values
