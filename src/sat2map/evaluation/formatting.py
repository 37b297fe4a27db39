"""How scores are written: labels, digits, intervals, and the verdict on a model in words."""

from __future__ import annotations

from collections.abc import Mapping

from sat2map.evaluation.metrics import PARTS, find_score
from sat2map.evaluation.metrics.features import kernel_subset_size
from sat2map.evaluation.result import CLASS_HEAD, CONSTANT, MODEL, NEAREST, Evaluation, Protocol, Row
from sat2map.evaluation.robustness import SCORES

# The scores that a map is read for, and the pixel scores that a verdict names.
HEADLINES = ("mean_iou", "road_f1", "edge_f1")
PIXEL_SCORES = ("l1", "psnr", "ssim", "accuracy_10")
DASH = "\N{EN DASH}"
MIN_FID_IMAGES = 2048  # FID's covariance of as many features has full rank from here on


def beats(name: str, score: float, other: float) -> bool:
    """Return whether `score` is better than `other` in the digits that are shown."""
    info = find_score(name)
    gain = round(score, info.digits) - round(other, info.digits)
    return gain > 0 if info.higher_is_better else gain < 0


def beats_constant(name: str, row: Row, constant: Row | None) -> bool:
    """Return whether the model is better than the constant map on a score; False for any other row."""
    score, other = row.scores.get(name), constant.scores.get(name) if constant else None
    return row.name == MODEL and score is not None and other is not None and beats(name, score, other)


def heading(name: str) -> str:
    """Return a score's name, its unit, and an arrow that points to what is better."""
    info = find_score(name)
    return f"{info.label}{info.unit and ',' + info.unit} {'↑' if info.higher_is_better else '↓'}"


def format_value(name: str, score: float | None, *, unit: bool = True) -> str:
    """Write a score with its digits and unit; a dash for none."""
    if score is None:
        return DASH
    info = find_score(name)
    return f"{score:.{info.digits}f}{info.unit if unit else ''}"


def format_uncertainty(name: str, row: Row) -> str:
    """Write the uncertainty of a row's score: an interval, for KID its deviation, or nothing."""
    if name == "kid" and "kid_std" in row.scores:
        return f"± {format_value(name, row.scores['kid_std'])}"
    return DASH.join(format_value(name, end, unit=False) for end in row.intervals.get(name, ()))


def listed_scores(scores: Mapping[str, float | None]) -> list[str]:
    """Return the scores that stand below a picture, such as `L1 7.65`."""
    known = {name: score for name in SCORES if (score := scores.get(name)) is not None}
    return [f"{find_score(name).label} {format_value(name, score)}" for name, score in known.items()]


def score_names(evaluation: Evaluation) -> dict[str, list[str]]:
    """Return the scores that at least one row has, by part, in the order in which they are worth reading."""
    names = dict.fromkeys(name for row in evaluation.rows for name in row.scores if name != "kid_std")
    parts = {part: [name for name in names if find_score(name).part == part] for part in PARTS}
    return {part: names for part, names in parts.items() if names}


def verdict(evaluation: Evaluation) -> str:
    """Return sentences on whether the model beats the constant map and other models, and on what."""
    return " ".join([_against_baselines(evaluation), *_against_others(evaluation)])


def _against_baselines(evaluation: Evaluation) -> str:
    constant = evaluation.row(CONSTANT)
    if constant is None:
        return "No baselines were scored, so there is nothing to compare these figures with."
    won, lost = _won_and_lost(HEADLINES, evaluation.model, constant)
    if won and not lost:
        first = f"The model beats the constant map on every map score: {_list(won)}."
    elif won:
        first = f"The model beats the constant map on {_list(won)}, but not on {_list(lost)}."
    elif lost:
        first = f"The model is no better than a plain colour: it does not beat it on {_list(lost)}."
    else:
        first = "There is no palette, so class scores are left out."
    nearest = evaluation.row(NEAREST)
    if nearest is not None and (behind := _won_and_lost(HEADLINES, evaluation.model, nearest)[1]):
        first = f"{first} The nearest training tile, simply copied, is still better on {_list(behind)}."
    pixels_won, pixels_lost = _won_and_lost(PIXEL_SCORES, evaluation.model, constant)
    if not pixels_lost:
        return f"{first} Pixel by pixel it is ahead: {_list(pixels_won)}." if pixels_won else first
    ahead = f"it is ahead on {_list(pixels_won)} and behind" if pixels_won else "it is behind"
    return (
        f"{first} Pixel by pixel {ahead} on {_list(pixels_lost)}: "
        "a map of one colour does well on these scores."
    )


def _against_others(evaluation: Evaluation) -> list[str]:
    """Return sentences on where the class head and other models are better or worse than the model."""
    sentences = []
    names = HEADLINES if evaluation.protocol.palette else PIXEL_SCORES
    for other in (CLASS_HEAD, *(model.name for model in evaluation.protocol.against)):
        row = evaluation.row(other)
        if row is None:
            continue
        better, worse = _won_and_lost(names, row, evaluation.model, ties=False)
        head = other == CLASS_HEAD
        what = "The class head's own map" if head else f"The model {other}"
        this = "the drawn map" if head else "this one"
        if better and worse:
            sentences.append(f"{what} is better than {this} on {_list(better)}, and worse on {_list(worse)}.")
        elif better or worse:
            sentences.append(
                f"{what} is {'better' if better else 'worse'} than {this} on {_list(better or worse)}."
            )
    return sentences


def _won_and_lost(
    names: tuple[str, ...], row: Row, other: Row, *, ties: bool = True
) -> tuple[list[str], list[str]]:
    """Return the scores on which a row beats another, and those on which not; ties count as lost, or not."""
    won: list[str] = []
    lost: list[str] = []
    for name in names:
        mine, theirs = row.scores.get(name), other.scores.get(name)
        if mine is None or theirs is None:
            continue
        figures = f"{format_value(name, mine, unit=False)} against {format_value(name, theirs)}"
        words = f"{find_score(name).label} ({figures})"
        if beats(name, mine, theirs):
            won.append(words)
        elif ties or beats(name, theirs, mine):
            lost.append(words)
    return won, lost


def caveats(evaluation: Evaluation) -> list[str]:
    """Return what a reader must know before trusting the figures, a sentence each."""
    protocol = evaluation.protocol
    sentences = []
    if protocol.palette is None:
        sentences.append("The model has no palette: class scores are left out.")
    if protocol.groups < 2:
        sentences.append("All images show one place, so there are no intervals.")
    elif protocol.group_column is None:
        sentences.append(
            "Intervals treat each image as a place of its own; they are too narrow where tiles overlap."
        )
    elif protocol.groups < 10:
        sentences.append(f"The images show {protocol.groups} places, too few for more than rough intervals.")
    if protocol.split == "train":
        sentences.append("The model may have been trained on these pairs: they say nothing about new places.")
    if protocol.constant_from not in ("", "train"):
        sentences.append(
            "There is no train split: the constant map has the median colour of the scored maps."
        )
    if not any("swd" in row.scores for row in evaluation.rows):
        sentences.append("The images are too few for the sliced Wasserstein distance.")
    for other in protocol.against:
        if other.learned and protocol.split != "train":
            sentences.append(
                f"{other.name} was trained on {other.learned} of these pairs, by its settings: "
                "its scores are too high."
            )
    return [*sentences, *_perceptual_caveats(evaluation)]


def _perceptual_caveats(evaluation: Evaluation) -> list[str]:
    """Return what a reader must know about FID, KID and LPIPS."""
    images, scores = evaluation.protocol.images, evaluation.model.scores
    sentences = []
    if "kid" in scores:
        size = kernel_subset_size(images)
        sentences.append(
            f"KID is the mean over 100 random subsets of {size} images, ± their standard deviation."
        )
    if "fid" in scores and images < MIN_FID_IMAGES:
        read = ": read KID" if "kid" in scores else ""
        sentences.append(
            f"FID is biased for {images} images, fewer than its {MIN_FID_IMAGES} features{read}."
        )
    changed = [
        f"{weights.file} ({weights.network})"
        for weights in evaluation.protocol.metric_weights
        if not weights.published
    ]
    if changed:
        sentences.append(
            f"Not, byte for byte, as published: {_list(changed)}. With other weights than the published ones "
            "these scores compare with no others."
        )
    return sentences


def protocol_line(evaluation: Evaluation) -> str:
    """Return in one line how the scores were taken."""
    p = evaluation.protocol
    groups = f" of {p.groups} places" if p.group_column is not None else ""
    return (
        f"{p.images} images{groups}, split {p.split}, {p.size} px ({p.resize}), "
        f"{p.inference_mode} mode, {p.engine}"
    )


def protocol_rows(protocol: Protocol) -> list[tuple[str, str]]:
    """Return name and value of what the protocol has."""
    values = {
        **protocol.model_dump(exclude={"palette"}),
        "palette": protocol.palette.name if protocol.palette else "none",
        "against": "; ".join(
            f"{m.name}: {m.file}, SHA-256 {m.sha256}, {m.steps} steps, {m.inference_mode} mode, {m.engine}"
            for m in protocol.against
        ),
        "metric_weights": "; ".join(
            f"{m.network}: {m.file}, SHA-256 {m.sha256}" for m in protocol.metric_weights
        ),
    }
    return [(name.replace("_", " "), str(value)) for name, value in values.items() if value not in ("", ())]


def _list(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
