"""What the report of a run shows: samples over time, curves, settings, next steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from sat2map.evaluation.formatting import listed_scores
from sat2map.evaluation.metrics import find_score
from sat2map.evaluation.report.charts import Chart, Line, line_chart
from sat2map.evaluation.result import selection_metric
from sat2map.images.pixels import read_image
from sat2map.run_folder import BEST, SAMPLES
from sat2map.settings import SETTINGS, TrainSettings, flatten

Lines = list[dict[str, Any]]

SHOWN_SAMPLES = 4


class RunLog:
    """The lines of a run's metrics, and what follows from them.

    Attributes:
        training: Lines with losses.
        validation: Lines with scores.
        best: The validation line whose weights were kept, or None.
    """

    def __init__(self, lines: Lines) -> None:
        self.training = [line for line in lines if line.get("kind") == "train"]
        self.validation = [line for line in lines if line.get("kind") == "validation"]
        self.best = max(self.validation, key=selection_metric, default=None)
        last = lines[-1] if lines else {}
        self.step, self.epoch = int(last.get("step", 0)), int(last.get("epoch", 0))

    @property
    def steps_an_epoch(self) -> float:
        """Steps an epoch; exact once an epoch has ended."""
        ended = self.validation[-1] if self.validation else {"step": self.step or 1, "epoch": self.epoch or 1}
        return float(ended["step"]) / float(ended["epoch"])

    @property
    def best_scores(self) -> dict[str, float]:
        """The scores of the best validation, by name."""
        return {name: value for name, value in (self.best or {}).items() if isinstance(value, float)}


class Training(NamedTuple):
    """What the report says of a run, but for its scores.

    Attributes:
        log: Its metrics.
        samples: Step, caption and pixels, uint8 (h, w, 3), of sample grids from the first to the latest.
        charts: Those that have something to show, each as SVG; None without matplotlib.
        is_marked: Whether a line in them marks the model that was kept.
        changed: Name, value, default and meaning of the settings that differ from the defaults.
        unchanged: The same of the others.
        run: The run folder.
        model: The model that was kept, or None.
        settings: Those of the run.
    """

    log: RunLog
    samples: list[tuple[int, str, NDArray[np.uint8]]]
    charts: list[tuple[Chart, str]] | None
    is_marked: bool
    changed: list[list[object]]
    unchanged: list[list[object]]
    run: str
    model: str | None
    settings: TrainSettings


def describe_training(run: Path, settings: TrainSettings, log: RunLog) -> Training:
    """Gather what the report of a run says."""
    charts: list[tuple[Chart, str]] | None
    curves: list[Curves] = []
    try:
        curves = curves_of(log)
        charts = [(one.chart, line_chart(one.chart, one.lines, mark=one.mark)) for one in curves]
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("matplotlib"):
            raise
        charts = None
    values, defaults = flatten(settings), flatten(TrainSettings())
    rows: tuple[list[list[object]], list[list[object]]] = ([], [])
    for name, value in values.items():
        code, about = Markup("<code>{}</code>").format(name), SETTINGS[name].info.description
        rows[value == defaults[name]].append([code, _value(value), _value(defaults[name]), about])
    is_marked = any(one.mark is not None for one in curves)
    model = str(run / BEST) if (run / BEST).exists() else None
    return Training(log, _samples(run, log), charts, is_marked, *rows, str(run), model, settings)


def _samples(run: Path, log: RunLog) -> list[tuple[int, str, NDArray[np.uint8]]]:
    paths = sorted((run / SAMPLES).glob("step-*.png"))
    found = []
    for i in np.unique(np.linspace(0, len(paths) - 1, SHOWN_SAMPLES).round().astype(int)) if paths else ():
        step = int(paths[i].stem.removeprefix("step-"))
        line = next((line for line in log.validation if line["step"] == step), {})
        where = [f"epoch {line['epoch']}"] if line else []
        caption = " · ".join([*where, f"step {step}", *listed_scores(line)])
        found.append((step, caption, read_image(paths[i]).pixels))
    return found


# "iou_" stands for all scores that start with it.
_CHARTS = (
    Chart(
        "scores",
        "Map scores",
        "On the validation pairs; higher is better, 1 is perfect.",
        "validation",
        ("mean_iou", "road_f1", "edge_f1"),
    ),
    Chart(
        "classes", "Overlap class by class", "IoU on the validation pairs, 0 to 1.", "validation", ("iou_",)
    ),
    Chart("l1", "L1", "On the validation pairs, grey levels; lower is better.", "validation", ("l1",), 4),
    Chart(
        "psnr", "PSNR", "On the validation pairs, dB. It rewards drawing nothing.", "validation", ("psnr",), 4
    ),
    Chart(
        "generator",
        "Generator's losses",
        "Unweighted. They are the aim, not a score.",
        "train",
        ("l1", "cross_entropy", "iou", "adversarial", "g_adversarial", "classes"),
    ),
    Chart(
        "discriminator",
        "Discriminator's losses",
        "Near zero, it recognises every generated map, and the generator learns little from it.",
        "train",
        ("d_real", "d_fake"),
    ),
)
_LOSSES = {
    "l1": "L1",
    "cross_entropy": "cross-entropy",
    "adversarial": "adversarial",
    "g_adversarial": "adversarial",  # what 0.1 called them
    "classes": "class head",
    "iou": "soft IoU",
    "d_real": "on real maps",
    "d_fake": "on generated maps",
}


class Curves(NamedTuple):
    """What a chart shows: lines by their names, and where the model that was kept stands."""

    chart: Chart
    lines: dict[str, Line]
    mark: float | None


def curves_of(log: RunLog) -> list[Curves]:
    """Return all charts of a run that have something to show."""
    found = []
    for chart in _CHARTS:
        logged = log.validation if chart.kind == "validation" else log.training
        wanted = chart.scores
        names = [n for n in _names(logged) if n in wanted or (wanted == ("iou_",) and n.startswith("iou_"))]
        if not names or len(logged) < 2:  # one point is no curve, and its number stands elsewhere
            continue
        x = [line["step"] / log.steps_an_epoch for line in logged]
        lines = {_curve(chart, name): Line(x, [line.get(name) for line in logged]) for name in names}
        is_scores = chart.kind == "validation"
        found.append(
            Curves(chart, lines, log.best["step"] / log.steps_an_epoch if log.best and is_scores else None)
        )
    return found


def _names(lines: Lines) -> list[str]:
    """Names of all values of the lines that are not null everywhere."""
    return list(dict.fromkeys(name for line in lines for name, value in line.items() if value is not None))


def _curve(chart: Chart, name: str) -> str:
    if chart.kind == "train":
        return _LOSSES[name]
    return name.removeprefix("iou_") if name.startswith("iou_") else find_score(name).label


def _value(value: object) -> str:
    return "none" if value is None else "on" if value is True else "off" if value is False else str(value)
