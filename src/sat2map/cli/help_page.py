"""How the help of a command looks: options with their values on the left, what they do on the right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from cyclopts import ArgumentCollection
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

_WORDS = {Path: "PATH", int: "N", float: "X", str: "TEXT"}


class HelpPage:
    """A formatter for cyclopts: a table without lines for each group of options."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print the options of one group."""
        if not panel.entries:
            return
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(max_width=max(12, options.max_width * 2 // 5), style="cyan", overflow="fold")
        table.add_column()
        for entry in panel.entries:
            table.add_row(_names(entry), _description(entry))
        console.print(Text(f"\n{panel.title}:", style="bold"))
        console.print(Padding(table, (0, 0, 0, 2)))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the line that shows the order of the arguments."""
        console.print(Text(f"Usage: {str(usage).strip()}\n"))

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """Print what the command does, each paragraph wrapped to the terminal."""
        paragraphs = _plain(description).split("\n\n")
        console.print(Text("\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)))


def metavar(kind: object) -> str:
    """Return the word that stands for a value of a type: PATH, N, X, TEXT or CHOICE.

    Args:
        kind: A type hint; None in a union is left out, and a tuple has a word for each of its values.
    """
    if get_origin(kind) is Annotated:
        return metavar(get_args(kind)[0])
    parts = [part for part in get_args(kind) if part not in (type(None), Ellipsis)]
    if get_origin(kind) is Literal:
        return "CHOICE"
    if get_origin(kind) in (tuple, list):
        return " ".join(map(metavar, parts))
    if parts:
        return "|".join(dict.fromkeys(map(metavar, parts)))
    return _WORDS.get(kind, "") if isinstance(kind, type) else ""


def usage(name: str, arguments: ArgumentCollection) -> str:
    """Return the order of a command's arguments, such as `sat2map push MODEL REPO [OPTIONS]`."""
    words = [name]
    for argument in arguments:
        if argument.field_info.is_positional:
            word = argument.field_info.name.upper() + ("..." if argument.is_var_positional() else "")
            words.append(word if argument.required or argument.is_var_positional() else f"[{word}]")
    words += [
        f"{argument.name} {metavar(argument.hint)}"
        for argument in arguments
        if argument.required and not argument.field_info.is_positional
    ]
    return " ".join([*words, "[OPTIONS]"])


def _names(entry: HelpEntry) -> str:
    options = [name for name in (*entry.positive_shorts, *entry.positive_names) if name.startswith("-")]
    if not options:
        return " ".join(entry.positive_names)
    value = "" if entry.type is bool else metavar(entry.type)
    return f"{', '.join((*options, *entry.negative_names))} {value}".rstrip()


def _description(entry: HelpEntry) -> Text:
    text = Text(" ".join(_plain(entry.description).split()))
    notes = [f"one of {', '.join(entry.choices)}"] if entry.choices else []
    if entry.required and any(name.startswith("-") for name in entry.positive_names):
        notes.append("required")
    elif entry.default not in (None, "", '""', "None", "False", "()"):
        notes.append(f"default: {_as_typed(str(entry.default))}")
    return text.append(f" ({'; '.join(notes)})", style="dim") if notes else text


def _as_typed(default: str) -> str:
    """Return a default as one would type it: several numbers with spaces between them."""
    if default.startswith("("):
        default = default[1:-1].replace(",", "").strip()
    return default.replace("'", "")


def _plain(description: Any) -> str:
    return str(getattr(description, "primary_renderable", description) or "").rstrip()
