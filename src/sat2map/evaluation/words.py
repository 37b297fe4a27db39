"""Owns how scores are put into words: their names, units and directions, and the verdict on a model."""

from __future__ import annotations

from typing import NamedTuple

from sat2map.evaluation.result import CONSTANT, NEAREST, Evaluation, Row
from sat2map.evaluation.scores import HIGHER_IS_BETTER

# What the scores are about, in the order in which they are worth reading.
PARTS: dict[str, tuple[str, ...]] = {
    "What the map shows": ("mean_iou", "road_f1", "edge_f1"),
    "Each class": (),  # filled with iou_* by `score_names`
    "How the set looks": ("swd",),
    "Pixel against pixel": ("l1", "rmse", "rmse_gcgan", "psnr", "ssim", "accuracy_5", "accuracy_10"),
}
TELLING = PARTS["What the map shows"]
DASH = "\N{EN DASH}"
PLAIN = ("l1", "psnr", "ssim", "accuracy_10")  # the pixel scores that a verdict names


class _Words(NamedTuple):
    label: str
    meaning: str
    unit: str = ""
    digits: int = 3


_WORDS = {
    "mean_iou": _Words("mean class IoU", "overlap of classes with the truth, mean over classes, 0 to 1"),
    "road_f1": _Words("road F1", "roads found and not invented, within 2 px, 0 to 1"),
    "edge_f1": _Words("edge F1", "borders between classes, within 2 px, 0 to 1"),
    "swd": _Words("sliced Wasserstein", "distance of the set's textures from real maps', times 1000", "", 1),
    "l1": _Words("L1", "mean absolute error, grey levels of 255", "", 2),
    "rmse": _Words("RMSE", "root mean squared error, grey levels of 255", "", 2),
    "rmse_gcgan": _Words("RMSE (GcGAN)", "the same summed over bands, as GcGAN prints it", "", 2),
    "psnr": _Words("PSNR", "peak signal-to-noise ratio", " dB", 2),
    "ssim": _Words("SSIM", "structural similarity, -1 to 1"),
    "accuracy_5": _Words(
        "accuracy within 5", "share of pixels whose worst band is off by less than 5 grey levels"
    ),
    "accuracy_10": _Words(
        "accuracy within 10", "share of pixels whose worst band is off by less than 10 grey levels"
    ),
}


def _words(name: str) -> _Words:
    if name.startswith("iou_"):
        return _Words(f"IoU {name[4:]}", f"overlap of the class {name[4:]} with the truth, 0 to 1")
    return _WORDS.get(name, _Words(name, ""))


def label(name: str) -> str:
    """Return a score's name for people."""
    return _words(name).label


def meaning(name: str) -> str:
    """Return what a score is, in a few words."""
    return _words(name).meaning


def is_higher_better(name: str) -> bool:
    """Tell a score's direction."""
    return name in HIGHER_IS_BETTER or name.startswith("iou_")


def beats(name: str, score: float, other: float) -> bool:
    """Tell whether `score` is better than `other`, by as much as `show` shows."""
    gain = round(score, _words(name).digits) - round(other, _words(name).digits)
    return gain > 0 if is_higher_better(name) else gain < 0


def heading(name: str) -> str:
    """Return a score's name, its unit, and an arrow that points to what is better."""
    unit = _words(name).unit
    return f"{label(name)}{unit and ',' + unit} {'↑' if is_higher_better(name) else '↓'}"


def show(name: str, score: float | None, *, unit: bool = True) -> str:
    """Write a score with its digits and unit; a dash for none."""
    if score is None:
        return DASH
    words = _words(name)
    return f"{score:.{words.digits}f}{words.unit if unit else ''}"


def show_interval(name: str, interval: tuple[float, float] | None) -> str:
    """Write an interval, or nothing for none."""
    if interval is None:
        return ""
    return DASH.join(show(name, end, unit=False) for end in interval)


def score_names(evaluation: Evaluation) -> dict[str, list[str]]:
    """Return the scores that at least one row has, by part, in the order in which they are worth reading."""
    there = {name for row in evaluation.rows for name in row.scores}
    parts = {part: [name for name in names if name in there] for part, names in PARTS.items()}
    parts["Each class"] = [f"iou_{name}" for name in evaluation.classes if f"iou_{name}" in there]
    return {part: names for part, names in parts.items() if names}


def verdict(evaluation: Evaluation) -> str:
    """Say in plain words whether the model beats the constant map, and on what."""
    constant = evaluation.row(CONSTANT)
    if constant is None:
        return "No baselines were scored, so nothing here tells how much these figures are worth."

    def compare(names: tuple[str, ...], rival: Row) -> tuple[list[str], list[str]]:
        won: list[str] = []
        lost: list[str] = []
        for name in names:
            mine, theirs = evaluation.model.scores.get(name), rival.scores.get(name)
            if mine is None or theirs is None:
                continue
            side = won if beats(name, mine, theirs) else lost
            side.append(f"{label(name)} ({show(name, mine, unit=False)} against {show(name, theirs)})")
        return won, lost

    won, lost = compare(TELLING, constant)
    if won and not lost:
        first = f"The model beats the constant map on all that a map is read for: {_list(won)}."
    elif won:
        first = f"The model beats the constant map on {_list(won)}, but not on {_list(lost)}."
    elif lost:
        first = f"The model is no better a map than a plain colour: it does not beat it on {_list(lost)}."
    else:
        first = "There is no palette, so class scores are left out and nothing here tells roads from water."
    nearest = evaluation.row(NEAREST)
    if nearest is not None and (behind := compare(TELLING, nearest)[1]):
        first = f"{first} The nearest training tile, simply copied, is still better on {_list(behind)}."
    pixels_won, pixels_lost = compare(PLAIN, constant)
    if not pixels_lost:
        return f"{first} Pixel against pixel it is ahead: {_list(pixels_won)}." if pixels_won else first
    ahead = f"it is ahead on {_list(pixels_won)} and behind" if pixels_won else "it is behind"
    return (
        f"{first} Pixel against pixel {ahead} on {_list(pixels_lost)}: "
        "scores on which a map of one colour does well."
    )


def caveats(evaluation: Evaluation) -> list[str]:
    """Return what a reader must know before trusting the figures, a sentence each."""
    protocol = evaluation.protocol
    told = []
    if protocol.palette is None:
        told.append("The model has no palette: class scores are left out.")
    if protocol.groups < 2:
        told.append("All images show one place, so there are no intervals.")
    elif protocol.group_column is None:
        told.append(
            "Intervals take each image for a place of its own; where tiles overlap they are too narrow."
        )
    elif protocol.groups < 10:
        told.append(f"The images show {protocol.groups} places, too few for more than rough intervals.")
    if protocol.split == "train":
        told.append("The model may have learned from these very pairs: they say nothing of new places.")
    if protocol.constant_from not in ("", "train"):
        told.append("There is no train split: the constant map's colour is from the scored maps themselves.")
    if any("swd" in row.scores for row in evaluation.rows):
        return told
    return [*told, "The images are too few for the sliced Wasserstein distance."]


def protocol_line(evaluation: Evaluation) -> str:
    """Say in one line how the scores were taken."""
    p = evaluation.protocol
    groups = f" of {p.groups} places" if p.group_column is not None else ""
    return (
        f"{p.images} images{groups}, split {p.split}, {p.size} px ({p.resize}), "
        f"{p.inference_mode} mode, {p.engine}"
    )


def _list(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
