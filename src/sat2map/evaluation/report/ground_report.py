"""Scores of a map on the ground as an HTML report, and as a table in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from sat2map.evaluation.formatting import DASH
from sat2map.evaluation.ground import GroundScores
from sat2map.evaluation.report.page import write_page

RGB = tuple[int, int, int]


def summarise(scores: GroundScores) -> list[tuple[str, str, str]]:
    """Return the scores of all classes, objects and roads: label, value and meaning of each."""
    of, p = scores.scores, scores.protocol
    lines = []
    if "mean_iou" in of:
        constant = f"a map of one class has {of['constant_mean_iou']:.3f}"
        lines.append(("mean class IoU", f"{of['mean_iou']:.3f}", f"overlap of classes, mean; {constant}"))
    lines.append(("accuracy", f"{of['accuracy']:.3f}", "share of pixels whose class is right"))
    for name, (matched, drawn, true) in scores.objects.items():
        what = {"precision": f"{matched} of the map's {drawn}", "recall": f"{matched} of the true {true}"}
        for key, meaning in what.items():
            value = of.get(f"{name}_object_{key}")
            lines.append((f"{name}s one by one, {key}", _number(value), f"{meaning}, at IoU above 0.5"))
    for key in ("precision", "recall", "f1"):
        if f"road_{key}" in of:
            label = "road F1" if key == "f1" else f"road {key}"
            lines.append((label, f"{of[f'road_{key}']:.3f}", f"roads and highways within {p.buffer:g} m"))
    return lines


def protocol_of(scores: GroundScores) -> str:
    """Return in one sentence what was compared with what."""
    p = scores.protocol
    return (
        f"{p.map} against {p.reference}: {p.pixels:,} pixels of {p.pixel[1]:.3g} × {p.pixel[0]:.3g} m, "
        f"{p.share:.0%} of the map. Patches below {p.min_object:g} m² count only where they are matched."
    )


def print_ground_scores(scores: GroundScores, console: Console) -> None:
    """Print the scores, and what was compared with what."""
    drawn = Table(box=None, pad_edge=False)
    for heading in ("", "IoU", "precision", "recall"):
        drawn.add_column(heading, justify="left" if not heading else "right")
    for one in scores.classes:
        drawn.add_row(one.name, *map(_number, (one.iou, one.precision, one.recall)))
    console.print(drawn)
    listed = Table(box=None, pad_edge=False, show_header=False)
    for line in summarise(scores):
        listed.add_row(*line)
    console.print()
    console.print(listed)
    console.print(f"\n{protocol_of(scores)}", style="dim", soft_wrap=True, highlight=False)


def write_ground_report(
    scores: GroundScores,
    pictures: Mapping[str, NDArray[np.uint8]],
    legend: Sequence[tuple[int, str, RGB]],
    path: Path,
) -> Path:
    """Write the report of a comparison on the ground.

    The pictures, uint8 (h, w, 3), stand by their captions; the legend names the colours of the difference.

    Raises:
        OutputError: The report cannot be written.
    """
    protocol = scores.protocol
    return write_page(
        path,
        "ground.html",
        title="How good is the map on the ground?",
        lead=f"{Path(protocol.map).name} against {Path(protocol.reference).name}.",
        summary=summarise(scores),
        classes=[(one.name, *map(_number, (one.iou, one.precision, one.recall))) for one in scores.classes],
        protocol=protocol_of(scores),
        notes=protocol.notes,
        pictures=pictures,
        legend=legend,
    )


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"
