"""Owns the run folder: settings, metrics as JSON lines, sample grids, kept models."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import RunError
from sat2map.files import atomic_path, atomic_write_text, output_error
from sat2map.images.pixels import write_image
from sat2map.settings import TrainSettings, make_settings
from sat2map.training.loggers import open_loggers

SETTINGS, METRICS, SAMPLES, LATEST = "settings.json", "metrics.jsonl", "samples", "latest.png"
BEST, LAST, REPORT = "best.safetensors", "last.safetensors", "report.html"


class Journal:
    """Writes what happens in a run into its folder.

    `metrics.jsonl` has a line each time losses are averaged (`"kind": "train"`) and for each validation
    (`"kind": "validation"`), both with `step` and `epoch`.
    """

    def __init__(self, run: Path, *, first_step: int = 0) -> None:
        self.run = run
        _drop_lines_after(run / METRICS, first_step)
        self._loggers = open_loggers(run, first_step=first_step)

    def log(self, kind: str, step: int, epoch: int, values: dict[str, float]) -> None:
        """Append a line of metrics and tell the loggers; values that are not finite become null.

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

    def close(self) -> None:
        """Tell the loggers that the training has ended, or was stopped."""
        self._loggers.close()


def start_run(settings: TrainSettings, notes: Mapping[str, str] | None = None) -> None:
    """Make the run folder and write the settings into it.

    Args:
        settings: All of them.
        notes: Texts by file name that belong to them.

    Raises:
        RunError: The folder already holds a run, or something else.
        OutputError: It cannot be written.
    """
    refuse_used_folder(settings.run)
    # The run may be resumed from another working directory.
    settings = settings.model_copy(update={"data": settings.data.absolute()})
    for name, text in (notes or {}).items():  # first: it is the settings that make the folder a run
        atomic_write_text(settings.run / name, text)
    atomic_write_text(settings.run / SETTINGS, settings.model_dump_json(indent=2) + "\n")


def refuse_used_folder(run: Path) -> None:
    """Check that a new run would overwrite nothing.

    Raises:
        RunError: The folder already holds a run, or something else.
    """
    if (run / SETTINGS).exists():
        raise RunError(f"{run} already holds a run: go on with --resume {run}, or give --run another folder")
    if run.exists() and not run.is_dir():
        raise RunError(f"{run} is a file: give --run a new folder")
    if run.exists() and any(run.iterdir()):
        raise RunError(f"{run} exists and is not empty: give --run a new folder")


def read_run_settings(run: Path) -> TrainSettings:
    """Read the settings that a run was started with; the folder may have moved since.

    Raises:
        RunError: The folder is not that of a run.
        SettingsError: Its settings do not fit this version.
    """
    path = run / SETTINGS
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RunError(f"{run} is not the folder of a run: it has no {SETTINGS}") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise RunError(f"{path} holds no settings: it is damaged, start a new run")
    return make_settings({**values, "run": run}, where=str(path))


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl; a half-written last line, as after a kill, is left out."""
    path = run / METRICS
    if not path.exists():
        return []
    lines = []
    for line in path.read_text("utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _drop_lines_after(path: Path, step: int) -> None:
    """Forget lines that a killed run wrote after its last checkpoint: those steps are made again."""
    if path.exists():
        kept = [line for line in read_metrics(path.parent) if line["step"] <= step]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")
