"""Owns the run folder: settings, metrics as JSON lines, sample grids, kept models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sat2map.errors import RunError
from sat2map.files import atomic_write_text
from sat2map.settings import TrainSettings, make_settings

SETTINGS, METRICS, SAMPLES, LATEST = "settings.json", "metrics.jsonl", "samples", "latest.png"
BEST, LAST, REPORT = "best.safetensors", "last.safetensors", "report.html"


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
        raise RunError(
            f"{run} already holds a run", hint="resume it, or choose another folder", setting="run"
        )
    if run.exists() and not run.is_dir():
        raise RunError(f"{run} is a file", hint="choose a new folder", setting="run")
    if run.exists() and any(run.iterdir()):
        raise RunError(f"{run} exists and is not empty", hint="choose a new folder", setting="run")


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
