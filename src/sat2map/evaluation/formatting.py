"""Owns how scores are put into words: their names, units and directions, and the verdict on a model."""

from __future__ import annotations

from typing import NamedTuple

from sat2map.evaluation.metrics import kernel_subset_size
from sat2map.evaluation.result import CLASS_HEAD, CONSTANT, NEAREST, Evaluation, Row
from sat2map.evaluation.scores import HIGHER_IS_BETTER

# What the scores are about, in the order in which they are worth reading.
PARTS: dict[str, tuple[str, ...]] = {
    "What the map shows": ("mean_iou", "road_f1", "edge_f1"),
    "Each class": (),  # filled with iou_* by `score_names`
    "How the set looks": ("swd", "fid", "kid"),
    "How each map looks": ("lpips",),
    "Pixel against pixel": ("l1", "rmse", "rmse_gcgan", "psnr", "ssim", "accuracy_5", "accuracy_10"),
}
TELLING = PARTS["What the map shows"]
DASH = "\N{EN DASH}"
FULL_RANK = 2048  # images that FID's covariance of as many features needs
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
    "fid": _Words("FID", "Fréchet distance of the set's Inception features from real maps'", "", 1),
    "kid": _Words("KID", "kernel distance of the same features, mean ± deviation over subsets", "", 4),
    "lpips": _Words("LPIPS", "perceptual distance by AlexNet's features, mean over images"),
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


def show_doubt(name: str, row: Row) -> str:
    """Write how sure a row's score is: an interval, or for KID its deviation; or nothing."""
    if name == "kid" and "kid_std" in row.scores:
        return f"± {show(name, row.scores['kid_std'])}"
    return show_interval(name, row.intervals.get(name))


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
    """Say in plain words whether the model beats the constant map and other models, and on what."""
    told = [_against_floors(evaluation), *_against_others(evaluation)]
    return " ".join(told)


def _against_floors(evaluation: Evaluation) -> str:
    constant = evaluation.row(CONSTANT)
    if constant is None:
        return "No baselines were scored, so nothing here tells how much these figures are worth."
    won, lost = _won_and_lost(TELLING, evaluation.model, constant)
    if won and not lost:
        first = f"The model beats the constant map on all that a map is read for: {_list(won)}."
    elif won:
        first = f"The model beats the constant map on {_list(won)}, but not on {_list(lost)}."
    elif lost:
        first = f"The model is no better a map than a plain colour: it does not beat it on {_list(lost)}."
    else:
        first = "There is no palette, so class scores are left out and nothing here tells roads from water."
    nearest = evaluation.row(NEAREST)
    if nearest is not None and (behind := _won_and_lost(TELLING, evaluation.model, nearest)[1]):
        first = f"{first} The nearest training tile, simply copied, is still better on {_list(behind)}."
    pixels_won, pixels_lost = _won_and_lost(PLAIN, evaluation.model, constant)
    if not pixels_lost:
        return f"{first} Pixel against pixel it is ahead: {_list(pixels_won)}." if pixels_won else first
    ahead = f"it is ahead on {_list(pixels_won)} and behind" if pixels_won else "it is behind"
    return (
        f"{first} Pixel against pixel {ahead} on {_list(pixels_lost)}: "
        "scores on which a map of one colour does well."
    )


def _against_others(evaluation: Evaluation) -> list[str]:
    """Say where the class head and other models are better than the model, and where it is."""
    told = []
    names = TELLING if evaluation.protocol.palette else PLAIN
    for other in (CLASS_HEAD, *(model.name for model in evaluation.protocol.against)):
        row = evaluation.row(other)
        if row is None:
            continue
        better, worse = _won_and_lost(names, row, evaluation.model, ties=False)
        head = other == CLASS_HEAD
        what = "The class head's own map" if head else f"The model {other}"
        this = "the picture" if head else "this one"
        if better and worse:
            told.append(f"{what} is better than {this} on {_list(better)}, and worse on {_list(worse)}.")
        elif better or worse:
            told.append(
                f"{what} is {'better' if better else 'worse'} than {this} on {_list(better or worse)}."
            )
    return told


def _won_and_lost(
    names: tuple[str, ...], row: Row, rival: Row, *, ties: bool = True
) -> tuple[list[str], list[str]]:
    """Return on what a row beats its rival and on what not, in words; ties count as lost, or not at all."""
    won: list[str] = []
    lost: list[str] = []
    for name in names:
        mine, theirs = row.scores.get(name), rival.scores.get(name)
        if mine is None or theirs is None:
            continue
        words = f"{label(name)} ({show(name, mine, unit=False)} against {show(name, theirs)})"
        if beats(name, mine, theirs):
            won.append(words)
        elif ties or beats(name, theirs, mine):
            lost.append(words)
    return won, lost


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
    if not any("swd" in row.scores for row in evaluation.rows):
        told.append("The images are too few for the sliced Wasserstein distance.")
    for other in protocol.against:
        if other.learned and protocol.split != "train":
            told.append(
                f"By its settings {other.name} learned from {other.learned} of these pairs: "
                "its scores flatter it."
            )
    return [*told, *_of_judges(evaluation)]


def _of_judges(evaluation: Evaluation) -> list[str]:
    """Return what a reader must know of FID, KID and LPIPS."""
    images, scores = evaluation.protocol.images, evaluation.model.scores
    told = []
    if "kid" in scores:
        size = kernel_subset_size(images)
        told.append(f"KID is the mean over 100 random subsets of {size} images, ± their standard deviation.")
    if "fid" in scores and images < FULL_RANK:
        read = ": KID is the one to read" if "kid" in scores else ""
        told.append(f"FID is biased for {images} images, fewer than its {FULL_RANK} features{read}.")
    changed = [
        f"{judge.file} ({judge.network})" for judge in evaluation.protocol.judges if not judge.published
    ]
    if changed:
        told.append(
            f"Not, byte for byte, as published: {_list(changed)}. With other weights than the published ones "
            "these scores compare with nobody's."
        )
    return told


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
