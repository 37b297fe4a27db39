"""Owns how an evaluation looks in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sat2map.evaluation.result import CONSTANT, JPEG, MODEL, NEAREST, Evaluation, Row
from sat2map.evaluation.robustness import SCORES
from sat2map.evaluation.words import (
    beats,
    caveats,
    heading,
    protocol_line,
    score_names,
    show,
    show_interval,
    verdict,
)

WIDE = 110  # columns; from here on every row shows its intervals
_SHORT = {NEAREST: "nearest tile"}
_NARROW = {CONSTANT: "constant\nmap", NEAREST: "nearest\ntile", JPEG: "truth\nas JPEG"}


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print the scores, one column a row of the evaluation, and what they mean.

    Scores on which the model beats the constant map are green; intervals stand in brackets.
    """
    console.print(_score_table(evaluation, wide=console.width >= WIDE))
    level = evaluation.protocol.level
    notes = [f"{protocol_line(evaluation)}."]
    if evaluation.model.intervals:
        notes.append(f"In brackets: {level:.0%} bootstrap intervals.")
    console.print(Padding(Text(" ".join([*notes, *caveats(evaluation)]), "dim"), (1, 1, 0, 1)))
    if evaluation.robustness:
        console.print(_robustness_table(evaluation))
    console.print(Padding(Text(verdict(evaluation)), (1, 1)))


def _score_table(evaluation: Evaluation, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("")
    for row in evaluation.rows:
        told = (_SHORT if wide else _NARROW).get(row.name, row.name)
        table.add_column(told, header_style="bold" if row.name == MODEL else "", vertical="bottom")
    constant = evaluation.row(CONSTANT)
    for names in score_names(evaluation).values():
        for name in names:
            cells = [
                _cell(name, row, constant, interval=wide or row.name == MODEL) for row in evaluation.rows
            ]
            table.add_row(heading(name), *cells, end_section=name == names[-1])
    return table


def _cell(name: str, row: Row, constant: Row | None, *, interval: bool) -> Text:
    score = row.scores.get(name)
    other = constant.scores.get(name) if constant and row.name == MODEL else None
    better = score is not None and other is not None and beats(name, score, other)
    text = Text(show(name, score, unit=False), "bold green" if better else "")
    ends = show_interval(name, row.intervals.get(name)) if interval else ""
    return text.append(f" ({ends})", "not bold dim") if ends else text


def _robustness_table(evaluation: Evaluation) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    table.add_column("source")
    names = [name for name in SCORES if name in evaluation.robustness[0].scores]
    for name in names:
        table.add_column(heading(name), justify="right")
    for row in evaluation.robustness:
        table.add_row(row.name, *(show(name, row.scores.get(name)) for name in names))
    return table
