"""An evaluation as a table in a terminal."""

from __future__ import annotations

import textwrap

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sat2map.evaluation.calibration import expected_calibration_error
from sat2map.evaluation.formatting import (
    DASH,
    beats_constant,
    caveats,
    format_uncertainty,
    format_value,
    heading,
    protocol_line,
    score_names,
    verdict,
)
from sat2map.evaluation.result import CLASS_HEAD, CONSTANT, JPEG, MODEL, NEAREST, Evaluation, Row
from sat2map.evaluation.robustness import SCORES

_NAME_WIDTH = 12
_BROKEN = {
    CLASS_HEAD: "class\nhead",
    CONSTANT: "constant\nmap",
    NEAREST: "nearest\ntile",
    JPEG: "truth,\nJPEG",
}


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print the scores, one column a row of the evaluation, and what they mean.

    Scores on which the model beats the constant map are green; intervals stand in brackets, as many as fit.
    """
    table, shown = _widest_table(evaluation, console)
    console.print(table)
    level = evaluation.protocol.level
    notes = [f"{protocol_line(evaluation)}."]
    if evaluation.model.intervals and shown:
        notes.append(f"In brackets: {level:.0%} bootstrap intervals.")
    console.print(Padding(Text(" ".join([*notes, *caveats(evaluation)]), "dim"), (1, 1, 0, 1)))
    if evaluation.robustness:
        console.print(_robustness_table(evaluation))
    if evaluation.reliability:
        console.print(_reliability_table(evaluation))
    console.print(Padding(Text(verdict(evaluation)), (1, 1)))


def _widest_table(evaluation: Evaluation, console: Console) -> tuple[Table, int]:
    """Return the table with the intervals of as many rows as there is room for, the model's first."""
    endless = console.options.update_width(10_000)
    for shown in range(len(evaluation.rows), 0, -1):
        table = _score_table(evaluation, shown)
        if console.measure(table, options=endless).maximum <= console.width:
            return table, shown
    return _score_table(evaluation, 0), 0


def _score_table(evaluation: Evaluation, shown: int) -> Table:
    """Return the table with the intervals of the first `shown` rows."""
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), collapse_padding=True, pad_edge=shown > 0
    )
    table.add_column("", no_wrap=True)
    for row in evaluation.rows:
        column = _BROKEN.get(row.name) or "\n".join(textwrap.wrap(row.name, _NAME_WIDTH))
        bold = "bold" if row.name == MODEL else ""
        table.add_column(column, header_style=bold, vertical="bottom", overflow="fold")
    constant = evaluation.row(CONSTANT)
    for names in score_names(evaluation).values():
        for name in names:
            cells = [
                _cell(name, row, constant, uncertainty=i < shown) for i, row in enumerate(evaluation.rows)
            ]
            table.add_row(heading(name), *cells, end_section=name == names[-1])
    return table


def _cell(name: str, row: Row, constant: Row | None, *, uncertainty: bool) -> Text:
    style = "bold green" if beats_constant(name, row, constant) else ""
    text = Text(format_value(name, row.scores.get(name), unit=False), style)
    ends = format_uncertainty(name, row) if uncertainty else ""
    return text.append(f" ({ends})", "not bold dim") if ends else text


def _robustness_table(evaluation: Evaluation) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    table.add_column("source")
    names = [name for name in SCORES if name in evaluation.robustness[0].scores]
    for name in names:
        table.add_column(heading(name), justify="right")
    for row in evaluation.robustness:
        table.add_row(row.name, *(format_value(name, row.scores.get(name)) for name in names))
    return table


def _reliability_table(evaluation: Evaluation) -> Table:
    error = expected_calibration_error(evaluation.reliability)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1),
        caption=f"Mean gap between confidence and share of right pixels: {error:.3f}.",
    )
    for column in ("confidence", "pixels", "mean confidence", "right"):
        table.add_column(column, justify="right")
    pixels = sum(one.pixels for one in evaluation.reliability)
    for one in evaluation.reliability:
        table.add_row(
            f"{one.low:.1f}{DASH}{one.high:.1f}",
            f"{one.pixels / pixels:.1%}",
            f"{one.confidence:.3f}",
            f"{one.accuracy:.3f}",
        )
    return table
