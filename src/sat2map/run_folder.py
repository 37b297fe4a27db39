"""The run folder: settings, metrics as JSON lines, sample grids, kept models, and a lock."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sat2map.errors import RunError
from sat2map.files import atomic_write_text, hold_lock, remove_leftovers
from sat2map.settings import TrainSettings, make_settings, replace

SETTINGS, METRICS, SAMPLES, LATEST = "settings.json", "metrics.jsonl", "samples", "latest.png"
BEST, LAST, REPORT, KEPT = "best.safetensors", "last.safetensors", "report.html", "kept"
BATCH, CURVES, CONFUSION = "batch.png", "curves.png", "confusion.png"
CONFUSION_TABLE = "confusion.csv"  # pixels of the best model's validation: rows are the real map's classes
LOCK = ".lock"


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Keep other processes out of a run folder, which is made where it is missing (see `files.hold_lock`).

    What a killed training was writing is removed: no other process writes there.

    Raises:
        RunError: Another process trains into the folder.
        OutputError: The folder cannot be written.
    """
    taken = RunError(
        f"another process is training into {run}", hint="wait for it, or choose another folder", setting="run"
    )
    with hold_lock(run / LOCK, run, taken):
        for folder in (run, run / SAMPLES, run / KEPT):
            remove_leftovers(folder, age=0)
        yield


def start_run(settings: TrainSettings, notes: Mapping[str, str] | None = None) -> None:
    """Make the run folder and write the settings into it.

    Notes are texts that belong to them, by file name.

    Raises:
        RunError: The folder already holds a run, or something else.
        OutputError: It cannot be written.
    """
    refuse_used_folder(settings.output.run)
    for name, text in (notes or {}).items():  # first: it is the settings that make the folder a run
        atomic_write_text(settings.output.run / name, text)
    write_run_settings(settings)


def write_run_settings(settings: TrainSettings) -> None:
    """Write the settings of a run into its folder.

    Raises:
        OutputError: It cannot be written.
    """
    # The run may be resumed from another working directory.
    settings = replace(settings, data=settings.data.path.absolute())
    atomic_write_text(settings.output.run / SETTINGS, settings.model_dump_json(indent=2) + "\n")


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
    if run.exists() and any(path.name != LOCK for path in run.iterdir()):
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
    return replace(make_settings(values, where=str(path)), run=run)


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl; a half-written last line, as after a kill, is left out."""
    path = run / METRICS
    if not path.exists():
        return []
    lines = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            parsed = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(parsed, dict) or not isinstance(parsed.get("step"), int):
            break
        lines.append(parsed)
    return lines
