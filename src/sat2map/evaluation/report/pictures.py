"""What a run's report shows, as PNG files beside it: curves and the confusion matrix."""

from __future__ import annotations

import csv
import io
import math
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

    rows = math.ceil(len(curves) / 2)
    drawing = Figure(figsize=(11, 3.3 * rows), layout="constrained")
    places = drawing.subplots(rows, 2, squeeze=False).flat
    for (chart, lines, mark), axes in zip(curves, places, strict=False):
        draw_lines(axes, lines, mark=mark, span=chart.span)
        axes.grid(axis="y", color="0.9")
        axes.set_title(chart.title, loc="left")
        axes.set_xlabel("epoch")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
    for axes in places:  # those that are left over
        axes.set_visible(False)
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
