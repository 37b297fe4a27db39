"""Writes what happens in a training into its run folder: metrics as JSON lines, and sample grids."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.files import atomic_path, atomic_write_text, output_error
from sat2map.images.pixels import write_image
from sat2map.run_folder import BATCH, CONFUSION_TABLE, LATEST, METRICS, SAMPLES, read_metrics
from sat2map.training.loggers import open_loggers


class RunWriter:
    """Writes what happens in a run into its folder.

    `metrics.jsonl` has a line each time losses are averaged (`"kind": "train"`) and for each validation
    (`"kind": "validation"`), both with `step` and `epoch`.
    """

    def __init__(self, run: Path, *, first_step: int = 0) -> None:
        self.run = run
        _drop_lines_after(run / METRICS, first_step)
        self._loggers = open_loggers(run, first_step=first_step)

    def log(self, kind: str, step: int, epoch: int, values: dict[str, float]) -> None:
        """Append a line of metrics and pass it to the loggers; values that are not finite become null.

        Raises:
            OutputError: The line cannot be written.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        line = json.dumps({"kind": kind, "step": step, "epoch": epoch, **finite})
        path = self.run / METRICS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise output_error(path, error) from error
        self._loggers.log(kind, step, values)

    def show_samples(self, step: int, grid: NDArray[np.uint8]) -> None:
        """Keep a sample grid, uint8 (h, w, 3), as samples/step-N.png and as latest.png."""
        write_image(self.run / SAMPLES / f"step-{step:07d}.png", grid)
        write_image(self.run / LATEST, grid)
        self._loggers.show(step, grid)

    def show_confusion(self, classes: Sequence[str], counts: NDArray[np.int64]) -> None:
        """Keep the confusion matrix of the best validation, (classes, classes), as confusion.csv."""
        rows = [
            ["real map", *classes],
            *([name, *row] for name, row in zip(classes, counts.tolist(), strict=True)),
        ]
        text = "".join(",".join(map(str, row)) + "\n" for row in rows)
        atomic_write_text(self.run / CONFUSION_TABLE, text)

    def show_batch(self, grid: NDArray[np.uint8]) -> None:
        """Keep the first batch as the networks saw it, uint8 (h, w, 3), as batch.png."""
        write_image(self.run / BATCH, grid)

    def close(self) -> None:
        """Close the loggers."""
        self._loggers.close()


def _drop_lines_after(path: Path, step: int) -> None:
    """Forget lines that a killed run wrote after its last checkpoint: those steps are made again."""
    if path.exists():
        kept = [line for line in read_metrics(path.parent) if line["step"] <= step]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")
