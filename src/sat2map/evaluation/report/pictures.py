"""What a run's report shows, as PNG files beside it: curves and the confusion matrix."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sat2map.evaluation.report.charts import draw_lines
from sat2map.evaluation.report.run_report import Curves, RunLog, curves_of
from sat2map.files import atomic_write_bytes
from sat2map.run_folder import CONFUSION, CONFUSION_TABLE, CURVES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110


def write_pictures(run: Path, log: RunLog) -> None:
    """Write `curves.png` and `confusion.png` of a run; without matplotlib, or where there are none, nothing.

    Raises:
        OutputError: They cannot be written.
    """
    try:
        if curves := curves_of(log):
            _write(_draw_curves(curves), run / CURVES)
        if (run / CONFUSION_TABLE).is_file():
            _write(_draw_confusion(run / CONFUSION_TABLE), run / CONFUSION)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("matplotlib"):
            raise


def _draw_curves(curves: list[Curves]) -> Figure:
    from matplotlib.figure import Figure

    pairs = [curves[i : i + 2] for i in range(0, len(curves), 2)]
    drawing = Figure(figsize=(11, 3.5 * len(pairs)), layout="constrained")
    for row, pair in zip(drawing.subfigures(len(pairs), squeeze=False).flat, pairs, strict=True):
        for place, (chart, lines, mark) in zip(
            row.subplots(1, len(pair), squeeze=False).flat, pair, strict=True
        ):
            draw_lines(place, lines, mark=mark, span=chart.span)
            place.grid(axis="y", color="0.9")
            place.set_title(chart.title, loc="left")
            place.set_xlabel("epoch")
            place.spines[["top", "right", "left"]].set_visible(False)
            if len(lines) > 1:  # below the chart, where it hides no line
                below = {"loc": "upper left", "bbox_to_anchor": (0, -0.18), "ncols": 6}
                place.legend(**below, frameon=False, fontsize="small", handlelength=1.2, columnspacing=1.2)
    return drawing


def _draw_confusion(table: Path) -> Figure:
    from matplotlib.figure import Figure

    (_, *names), *rows = csv.reader(io.StringIO(table.read_text("utf-8")))
    counts = np.array([row[1:] for row in rows], float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.8 + 0.75 * len(names)
    drawing = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = drawing.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{share:.0%}" if share >= 0.005 else "·"
        axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.5 else "black")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("class on the generated map")
    axes.set_ylabel("class on the real map")
    axes.set_title("Where the pixels of each class went", loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return drawing


def _write(drawing: Figure, path: Path) -> None:
    file = io.BytesIO()
    drawing.savefig(file, format="png", dpi=DPI)
    atomic_write_bytes(path, file.getvalue())
