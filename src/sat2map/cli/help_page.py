"""How the help of a command looks: options with their values on the left, what they do on the right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

_WORDS = {Path: "PATH", int: "N", float: "X", str: "TEXT"}


class HelpPage:
    """A formatter for cyclopts: a table without lines for each group of options."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print the options of one group."""
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(max_width=max(12, options.max_width * 2 // 5), style="cyan")
        table.add_column(ratio=1)
        for entry in panel.entries:
            table.add_row(_names(entry), _description(entry))
        console.print(Text(f"{panel.title}:", style="bold"))
        console.print(Padding(table, (0, 0, 1, 2)))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the line that shows the order of the arguments."""
        if usage:
            console.print(usage, end="")

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """Print what the command does."""
        if description:
            console.print(description)


def metavar(kind: object) -> str:
    """Return the word that stands for a value of a type: PATH, N, X, TEXT, or the choices.

    Args:
        kind: A type hint; None in a union is left out, and the word of a collection says how many values.
    """
    parts = [part for part in get_args(kind) if part not in (type(None), Ellipsis)]
    if get_origin(kind) is Literal:
        return "|".join(map(str, parts))
    if get_origin(kind) in (tuple, list):
        return " ".join(map(metavar, parts))
    if parts:
        return "|".join(dict.fromkeys(map(metavar, parts)))
    return _WORDS.get(kind, "") if isinstance(kind, type) else ""


def _names(entry: HelpEntry) -> str:
    options = [name for name in (*entry.positive_shorts, *entry.positive_names) if name.startswith("-")]
    if not options:
        return " ".join(entry.positive_names)
    value = "" if entry.type is bool else metavar(entry.type)
    return f"{', '.join((*options, *entry.negative_names))} {value}".rstrip()


def _description(entry: HelpEntry) -> Text:
    text = Text(_plain(entry.description))
    if entry.required and any(name.startswith("-") for name in entry.positive_names):
        text.append(" (required)", style="bold")
    elif entry.default not in (None, "", "None", "False", "()"):
        text.append(f" (default: {entry.default})", style="dim")
    return text


def _plain(description: Any) -> str:
    return str(getattr(description, "primary_renderable", description) or "").rstrip()
