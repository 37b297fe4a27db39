"""The sections of a run: samples over time, curves, settings, next steps."""

from __future__ import annotations

import shlex
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Literal, NamedTuple

import numpy as np

from sat2map.evaluation.formatting import format_value
from sat2map.evaluation.metrics import find_score
from sat2map.evaluation.report.charts import Line, line_chart
from sat2map.evaluation.report.page import Section, details, figure, image, paragraph, shell, table, tiles
from sat2map.evaluation.report.score_sections import numbers
from sat2map.evaluation.result import selection_metric
from sat2map.images.pixels import read_image
from sat2map.installation import install_command
from sat2map.run_folder import BEST, SAMPLES
from sat2map.settings import SETTINGS, TrainSettings, flatten

Lines = list[dict[str, Any]]

SHOWN_SAMPLES = 4
_NEXT = Path(__file__).with_name("next.sh")


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


def result_section(log: RunLog) -> Section:
    """Return the best validation scores of a run that was not evaluated."""
    if log.best is None:
        return Section("Result", paragraph("No validation yet: the first one comes when its epoch ends."))
    scores = {name: value for name, value in log.best.items() if isinstance(value, float)}
    return Section(
        "Result",
        numbers(scores, {})
        + paragraph(
            f"Validation scores of the model that was kept ({BEST}), from epoch {log.best['epoch']}, "
            f"step {log.best['step']}. PSNR and L1 alone say little of a map: "
            "'sat2map evaluate' puts the scores of a plain colour beside them.",
            "soft",
        ),
    )


def samples_section(run: Path, log: RunLog) -> Section | None:
    """Return sample grids from the first to the latest, or None where there are none yet."""
    paths = sorted((run / SAMPLES).glob("step-*.png"))
    if not paths:
        return None
    chosen = sorted(set(np.linspace(0, len(paths) - 1, SHOWN_SAMPLES).round().astype(int).tolist()))
    figures = []
    for path in (paths[i] for i in chosen):
        step = int(path.stem.removeprefix("step-"))
        line = next((line for line in log.validation if line["step"] == step), {})
        scores = [
            f"{find_score(n).label} {format_value(n, line[n])}"
            for n in ("mean_iou", "road_f1", "l1")
            if line.get(n) is not None
        ]
        where = [f"epoch {line['epoch']}"] if line else []
        caption = " · ".join([*where, f"step {step}", *scores])
        grid = image(read_image(path).pixels, f"Sources, generated maps and real maps at step {step}")
        figures.append(figure(grid, caption))
    return Section(
        "Samples over time",
        paragraph("The same validation images each time: source, generated map, real map.", "soft")
        + tiles(figures, "samples"),
    )


class Chart(NamedTuple):
    """A chart: its name, heading and caption, the lines and scores it draws, and the least range of y."""

    name: str
    title: str
    caption: str
    kind: Literal["validation", "train"]
    scores: tuple[str, ...]
    span: float = 0.2


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


def curves_section(log: RunLog) -> Section | None:
    """Return the curves of scores and losses, or None where nothing was logged yet."""
    try:
        curves = curves_of(log)
        figures = [
            figure(f"<h3>{escape(one.chart.title)}</h3>{_draw(one)}", one.chart.caption, "chart")
            for one in curves
        ]
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("matplotlib"):
            raise
        return Section("Curves", paragraph(f"The curves need matplotlib: {install_command('train')}"))
    if not figures:
        return None
    is_marked = any(one.mark is not None for one in curves)
    dotted = paragraph("The dotted line marks the model that was kept.", "soft") if is_marked else ""
    return Section("Curves", tiles(figures, "pair") + dotted)


def settings_section(settings: TrainSettings) -> Section:
    """Return the settings, those that differ from the defaults first, folded away."""
    values, defaults = flatten(settings), flatten(TrainSettings())
    changed = [name for name in values if values[name] != defaults[name]]
    rest = [name for name in values if name not in changed]

    def rows(names: list[str]) -> list[list[str]]:
        return [
            [f"<code>{escape(n)}</code>", escape(_value(values[n])), escape(_value(defaults[n])),
             escape(SETTINGS[n].info.description or "")]
            for n in names
        ]  # fmt: skip

    head = ["setting", "value", "default", "meaning"]
    differing = table(
        head, rows(changed), caption="Settings that differ from the defaults", kind="prose wide"
    )
    others = table(head, rows(rest), caption="Settings left at their defaults", kind="prose wide")
    summary = f"{len(changed)} settings differ from the defaults, {len(rest)} do not"
    return Section("Settings", details(summary, differing + others))


def next_section(run: Path, settings: TrainSettings, log: RunLog) -> Section:
    """Return what to do with the run next, as commands."""
    go_on, use = _NEXT.read_text("utf-8").split("\n\n", 1)
    parts = [go_on] * (log.epoch < settings.schedule.epochs) + [use] * (run / BEST).exists()
    values = {"run": run, "model": run / BEST, "data": settings.data.path}
    text = Template("\n\n".join(parts) or "# nothing was kept yet").substitute(
        {name: shlex.quote(str(path)) for name, path in values.items()},
        path=repr(str(run / BEST)),
        epoch=log.epoch,
        epochs=settings.schedule.epochs,
    )
    return Section("Next", shell(text.splitlines()))


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


def _draw(curves: Curves) -> str:
    chart, lines, mark = curves
    title = f"{chart.title}: {chart.caption}"
    return line_chart(chart.name, title, lines, x_label="epoch", mark=mark, span=chart.span)


def _names(lines: Lines) -> list[str]:
    """Names of all values of the lines that are not null everywhere."""
    return list(dict.fromkeys(name for line in lines for name, value in line.items() if value is not None))


def _curve(chart: Chart, name: str) -> str:
    if chart.kind == "train":
        return _LOSSES[name]
    return name.removeprefix("iou_") if name.startswith("iou_") else find_score(name).label


def _value(value: object) -> str:
    return "none" if value is None else "on" if value is True else "off" if value is False else str(value)
