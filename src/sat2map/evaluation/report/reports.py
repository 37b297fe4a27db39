"""The three reports, of a run, an evaluation and a demo: what each shows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import DataError
from sat2map.evaluation import formatting, result
from sat2map.evaluation.calibration import expected_calibration_error
from sat2map.evaluation.examples import Example, load_examples
from sat2map.evaluation.report.page import write_page
from sat2map.evaluation.report.pictures import write_pictures
from sat2map.evaluation.report.run_report import RunLog, Training, describe_training
from sat2map.evaluation.result import Evaluation
from sat2map.evaluation.robustness import SCORES
from sat2map.installation import install_command
from sat2map.run_folder import BEST, REPORT, read_metrics, read_run_settings

EVALUATION, EXAMPLES = "evaluation.json", "evaluation"  # in a run folder: the scores, and their pictures
DEMO = (
    "A small model, trained within minutes on drawn towns: pictures that look a little like aerial photos, "
    "and their maps. Real photos take more pairs and more time; all steps are the same."
)


def write_run_report(run: Path) -> Path:
    """Write the report of a run, finished or not, into its folder.

    The scores are those of `evaluation.json` where the folder has one (with its examples in `evaluation/`),
    else those of the last validations.

    Raises:
        RunError: The folder is not that of a run.
        OutputError: The report cannot be written.
    """
    run = Path(run)
    settings, log = read_run_settings(run), RunLog(read_metrics(run))
    lead = f"{log.epoch} of {settings.schedule.epochs} epochs, {log.step} steps, on {settings.data.path}."
    evaluation = _evaluation_of(run)
    if evaluation and log.best and evaluation.protocol.steps != log.best["step"]:
        lead += (
            f" The scores below are of step {evaluation.protocol.steps}, the model kept since is of step "
            f"{log.best['step']}: evaluate again."
        )
    write_pictures(run, log)
    return _write(
        run / REPORT,
        f"Run {run.resolve().name}",
        lead,
        evaluation=evaluation,
        examples=load_examples(run / EXAMPLES, evaluation) if evaluation else (),
        training=describe_training(run, settings, log),
    )


def write_evaluation_report(evaluation: Evaluation, examples: Sequence[Example], path: Path) -> Path:
    """Write the report of an evaluation.

    Raises:
        OutputError: The report cannot be written.
    """
    p = evaluation.protocol
    lead = f"Scores on {p.images} pairs of {p.data}, split {p.split}."
    title = f"How good is {p.model or 'the model'}?"
    return _write(Path(path), title, lead, evaluation=evaluation, examples=examples)


def write_demo_report(
    path: Path,
    *,
    run: Path,
    evaluation: Evaluation,
    scene: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]],
    examples: Sequence[Example] = (),
) -> Path:
    """Write the report of a demo: a run on drawn towns, its scores, and a scene it never saw, translated.

    The scene is a source, its generated map and its real map, uint8 (h, w, bands) each.

    Raises:
        RunError: The folder is not that of a run.
        OutputError: The report cannot be written.
    """
    size = f"{scene[0].shape[1]} x {scene[0].shape[0]} px"
    captions = (
        f"Source, {size}, larger than any training image",
        "The map that the model drew",
        "The real map",
    )
    run = Path(run)
    return _write(
        Path(path),
        "sat2map demo",
        DEMO,
        scene=dict(zip(captions, scene, strict=True)),
        evaluation=evaluation,
        examples=examples,
        training=describe_training(run, read_run_settings(run), RunLog(read_metrics(run))),
    )


def _write(
    path: Path,
    title: str,
    lead: str,
    *,
    scene: Mapping[str, NDArray[np.uint8]] | None = None,
    evaluation: Evaluation | None = None,
    examples: Sequence[Example] = (),
    training: Training | None = None,
) -> Path:
    shown = {"scene": scene, "evaluation": evaluation, "examples": examples, "training": training}
    return write_page(path, "report.html", title=title, lead=lead, **shown, **_NAMES)


# What the templates use.
_NAMES: dict[str, object] = {
    "BEST": BEST,
    "SCORES": SCORES,
    "expected_calibration_error": expected_calibration_error,
    "formatting": formatting,
    "install_command": install_command,
    "quote": shlex.quote,
    "repr": repr,
    "result": result,
}


def _evaluation_of(run: Path) -> Evaluation | None:
    try:
        return Evaluation.load(run / EVALUATION) if (run / EVALUATION).exists() else None
    except DataError:  # of another version; a report of the run is worth more than none
        return None
