"""The three reports: which sections each has, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import DataError
from sat2map.evaluation.examples import Example, load_examples
from sat2map.evaluation.report.page import Section, figure, image, tiles, write_page
from sat2map.evaluation.report.pictures import write_pictures
from sat2map.evaluation.report.run_report import (
    RunLog,
    curves_section,
    next_section,
    result_section,
    samples_section,
    settings_section,
)
from sat2map.evaluation.report.score_sections import evaluation_sections
from sat2map.evaluation.result import Evaluation
from sat2map.run_folder import REPORT, read_metrics, read_run_settings

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
    if evaluation is None:
        scores = [result_section(log)]
    else:
        scores = evaluation_sections(evaluation, load_examples(run / EXAMPLES, evaluation))
        if log.best and evaluation.protocol.steps != log.best["step"]:
            lead += (
                f" The scores below are of step {evaluation.protocol.steps}, the model kept since is of step "
                f"{log.best['step']}: evaluate again."
            )
    write_pictures(run, log)
    title = f"Run {run.resolve().name}"
    return write_page(run / REPORT, title, lead, [*scores, *_of_training(run)])


def write_evaluation_report(evaluation: Evaluation, examples: Sequence[Example], path: Path) -> Path:
    """Write the report of an evaluation.

    Raises:
        OutputError: The report cannot be written.
    """
    p = evaluation.protocol
    lead = f"Scores on {p.images} pairs of {p.data}, split {p.split}."
    return write_page(
        Path(path), f"How good is {p.model or 'the model'}?", lead, evaluation_sections(evaluation, examples)
    )


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
    translated = Section(
        "A scene, translated",
        tiles((figure(image(p, c), c) for p, c in zip(scene, captions, strict=True)), "scene"),
    )
    sections = [translated, *evaluation_sections(evaluation, examples), *_of_training(Path(run))]
    return write_page(Path(path), "sat2map demo", DEMO, sections)


def _of_training(run: Path) -> list[Section]:
    """The sections of a run but for its scores; those there is something to say in."""
    settings, log = read_run_settings(run), RunLog(read_metrics(run))
    sections = (
        samples_section(run, log),
        curves_section(log),
        settings_section(settings),
        next_section(run, settings, log),
    )
    return [section for section in sections if section is not None]


def _evaluation_of(run: Path) -> Evaluation | None:
    try:
        return Evaluation.load(run / EVALUATION) if (run / EVALUATION).exists() else None
    except DataError:  # of another version; a report of the run is worth more than none
        return None
