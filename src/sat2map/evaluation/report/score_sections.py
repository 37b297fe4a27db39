"""The sections of an evaluation in a report: its table, its classes, its examples."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sat2map.evaluation.calibration import expected_calibration_error
from sat2map.evaluation.examples import Example
from sat2map.evaluation.formatting import (
    beats_constant,
    caveats,
    format_uncertainty,
    format_value,
    heading,
    protocol_line,
    score_names,
    verdict,
)
from sat2map.evaluation.metrics import find_score
from sat2map.evaluation.report.page import Section, details, image, paragraph, table, tiles
from sat2map.evaluation.result import CONSTANT, MODEL, NEAREST, Evaluation, Row
from sat2map.evaluation.robustness import SCORES
from sat2map.images.palette import Palette

STACKED = 6  # rows of an evaluation, from which on intervals stand below the scores, or the table is too wide
HEADLINES = ("mean_iou", "road_f1", "l1", "psnr")


def evaluation_sections(evaluation: Evaluation, examples: Sequence[Example] = ()) -> list[Section]:
    """Return the sections of an evaluation: scores, classes, examples, robustness; those it has."""
    sections = [_scores(evaluation)]
    if evaluation.classes:
        sections.append(_classes(evaluation))
    if examples:
        sections.append(_examples(examples))
    if evaluation.robustness:
        sections.append(_robustness(evaluation))
    if evaluation.reliability:
        sections.append(_reliability(evaluation))
    return sections


def numbers(scores: dict[str, float], below: dict[str, str]) -> str:
    """Draw the headline scores as large figures, each with a line of plain text `below` it."""
    shown = [name for name in HEADLINES if name in scores]
    cells = (
        f"<div><dt>{escape(_capital(find_score(name).label))}</dt><dd>{format_value(name, scores[name])}</dd>"
        f"<dd>{escape(below.get(name, ''))}</dd></div>"
        for name in shown
    )
    return f'<dl class="numbers">{"".join(cells)}</dl>'


def _scores(evaluation: Evaluation) -> Section:
    constant = evaluation.row(CONSTANT)
    below = (
        {name: f"constant map {format_value(name, score)}" for name, score in constant.scores.items()}
        if constant
        else {}
    )
    rows: list[list[str]] = []
    for part, names in score_names(evaluation).items():
        rows.append([part])
        for name in names:
            first = f'<span title="{escape(find_score(name).meaning)}">{escape(heading(name))}</span>'
            stacked = len(evaluation.rows) >= STACKED
            rows.append([first, *(_cell(name, row, constant, stacked=stacked) for row in evaluation.rows)])
    notes = [f"{protocol_line(evaluation)}."]
    if evaluation.model.intervals:
        notes.append(f"Small figures: {evaluation.protocol.level:.0%} bootstrap intervals.")
    if constant is not None:
        notes.append("Green: better than the constant map.")
    return Section(
        "Scores",
        numbers(evaluation.model.scores, below)
        + paragraph(verdict(evaluation), "verdict")
        + table(
            ["score", *(escape(row.name) for row in evaluation.rows)],
            rows,
            caption="The model, what it is compared with, and the truth after JPEG compression",
            kind="wide",
        )
        + paragraph(" ".join([*notes, *caveats(evaluation)]), "soft")
        + _protocol(evaluation),
    )


def _cell(name: str, row: Row, constant: Row | None, *, stacked: bool) -> str:
    uncertainty = format_uncertainty(name, row)
    text = format_value(name, row.scores.get(name), unit=False)
    if uncertainty:
        text += f"{'<br>' if stacked else ''}<small>{uncertainty}</small>"
    if row.name != MODEL:
        return text
    return f'<td class="mine{" better" if beats_constant(name, row, constant) else ""}">{text}</td>'


def _classes(evaluation: Evaluation) -> Section:
    palette = evaluation.protocol.palette
    assert palette is not None
    nearest = evaluation.row(NEAREST) or evaluation.row(CONSTANT)
    bars = []
    for i, name in enumerate(palette.names):
        iou = evaluation.model.scores.get(f"iou_{name}")
        other = nearest.scores.get(f"iou_{name}") if nearest else None
        tick = "" if other is None else f'<b style="left:{max(1, 100 * other):.1f}%"></b>'
        bars.append(
            f"<span>{_swatch(palette, i)}{escape(name)}</span>"
            f'<span class="bar"><i style="width:{100 * (iou or 0):.1f}%"></i>{tick}</span>'
            f"<span>{format_value('iou_', iou)}</span>"
        )
    against = f" The tick is the {nearest.name}." if nearest else ""
    rows = []
    for i, counts in enumerate(evaluation.confusion):
        total = sum(counts)
        cells = [_shaded(count / total if total else None) for count in counts]
        rows.append([_swatch(palette, i) + escape(palette.names[i]), *cells])
    confusion = table(
        ["truth", *(_swatch(palette, i) + escape(name) for i, name in enumerate(palette.names))],
        rows,
        caption="Where the pixels of each true class went: a row adds up to 100 %",
        kind="confusion",
    )
    return Section(
        "Class by class",
        paragraph(f"Overlap with the truth (intersection over union), 0 to 1.{against}", "soft")
        + f'<div class="bars">{"".join(bars)}</div>'
        + "<h3>Confusion</h3>"
        + confusion,
    )


def _shaded(share: float | None) -> str:
    if share is None:
        return "<td>–</td>"
    return f'<td style="background:rgb(var(--accent-rgb) / {0.75 * share:.2f})">{100 * share:.0f} %</td>'


def _swatch(palette: Palette, number: int) -> str:
    red, green, blue = palette.classes[number].colours[0]
    return f'<span class="swatch" style="background:rgb({red} {green} {blue})"></span>'


def _examples(examples: Sequence[Example]) -> Section:
    blocks = []
    for example in examples:
        scores = example.image.scores
        listed = ", ".join(
            f"{find_score(name).label} {format_value(name, scores[name])}"
            for name in SCORES
            if name in scores
        )
        sides = (("source", example.source), ("generated map", example.fake), ("real map", example.target))
        pictures = (image(pixels, f"{side} of {example.image.name}") for side, pixels in sides)
        caption = f"<b>{escape(_capital(example.kind))}</b> · {escape(example.image.name)} · {escape(listed)}"
        blocks.append(
            f'<figure class="example">{tiles(pictures, "trio")}<figcaption>{caption}</figcaption></figure>'
        )
    by = "mean class IoU" if "mean_iou" in examples[0].image.scores else "L1"
    return Section(
        "Best, median and worst",
        paragraph(f"Ordered by {by} of each image: source, generated map, real map.", "soft")
        + tiles(blocks, "samples"),
    )


def _robustness(evaluation: Evaluation) -> Section:
    names = [name for name in SCORES if name in evaluation.robustness[0].scores]
    rows = [
        [escape(row.name), *(format_value(name, row.scores.get(name)) for name in names)]
        for row in evaluation.robustness
    ]
    return Section(
        "Robustness",
        table(
            ["source", *(escape(find_score(name).label) for name in names)],
            rows,
            caption="Scores on damaged sources",
        ),
    )


def _reliability(evaluation: Evaluation) -> Section:
    pixels = sum(one.pixels for one in evaluation.reliability)
    rows = [
        [
            f"{one.low:.1f} to {one.high:.1f}",
            f"{100 * one.pixels / pixels:.1f} %",
            f"{one.confidence:.3f}",
            f"{one.accuracy:.3f}",
        ]
        for one in evaluation.reliability
    ]
    error = expected_calibration_error(evaluation.reliability)
    return Section(
        "Confidence",
        paragraph(
            "Of pixels that the model is 80 % sure of, 80 % should be right. "
            f"Mean gap between the two: {error:.3f}.",
            "soft",
        )
        + table(
            ["confidence", "share of pixels", "mean confidence", "share that is right"],
            rows,
            caption="How often the likeliest class is right",
        ),
    )


def _protocol(evaluation: Evaluation) -> str:
    p = evaluation.protocol
    values = {
        **p.model_dump(exclude={"palette"}),
        "palette": p.palette.name if p.palette else "none",
        "against": "; ".join(
            f"{m.name}: {m.file}, SHA-256 {m.sha256}, {m.steps} steps, {m.inference_mode} mode, {m.engine}"
            for m in p.against
        ),
        "metric_weights": "; ".join(f"{m.network}: {m.file}, SHA-256 {m.sha256}" for m in p.metric_weights),
    }
    rows = [
        [escape(name.replace("_", " ")), escape(str(value))]
        for name, value in values.items()
        if value not in ("", ())
    ]
    return details("How the scores were taken", table(["", "value"], rows, caption="Protocol", kind="prose"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
