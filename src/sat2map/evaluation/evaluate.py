"""`evaluate()`: scores of a model on pairs, next to those of baselines and of other models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from sat2map.data.left_out import count_left_out
from sat2map.data.pair_cache import LEAST_NEAR, PairCache
from sat2map.evaluation.baselines import baselines_of, median_colour
from sat2map.evaluation.calibration import measure_reliability
from sat2map.evaluation.comparison import check_comparable
from sat2map.evaluation.evaluation_set import EvaluationSet, open_evaluation_set
from sat2map.evaluation.perceptual_metrics import load_perceptual_metrics
from sat2map.evaluation.result import AS_IT_IS, CLASS_HEAD, MODEL, Evaluation, OtherModel, Protocol, Row
from sat2map.evaluation.robustness import SCORES, Degradation, degradations_for
from sat2map.evaluation.rows import Draw, Pixels, Scorer
from sat2map.images.palette import Palette
from sat2map.inference import Translator
from sat2map.inference.backends import EngineName
from sat2map.models.model import Model, ModelLike
from sat2map.settings import Device, InferenceMode

Scorable = ModelLike | Translator


def evaluate(
    model: Scorable,
    data: str | Path,
    *,
    split: str = "val",
    group_column: str | None = None,
    size: int | None = None,
    engine: EngineName = "auto",
    device: Device = "auto",
    mode: InferenceMode | None = None,
    baselines: bool = True,
    robustness: bool = False,
    reliability: bool = False,
    against: Mapping[str, Scorable] | None = None,
    inception: Path | None = None,
    lpips: tuple[Path, Path] | None = None,
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Score a model on the pairs of a split, through the same translator that serves.

    Args:
        model: A model (see `Model.find`), or a translator (`device` and `mode` are then its own).
        data: Folder or CSV of pairs; see `open_evaluation_set` for how a val split that it lacks is cut.
        split: Which of its splits.
        group_column: CSV column of places, which the intervals draw; None for the training's, where the data
            has it.
        size: Side at which maps are compared (px); None for that of the sources. The model is given the
            sources at its own scale in any case: native pixels, or resized as in its training.
        engine: What runs the model files.
        device: Where to run.
        mode: `eval` or `paper`; None for what the model file says.
        baselines: Score the class head's own map, where the model has one, the constant map, the nearest
            training tile and the truth as JPEG too.
        robustness: Score the model on degraded sources too, which takes ten times as long.
        reliability: Compare the confidence of the model's classes with how often they are right.
        against: Other models by the names of their rows, scored on the same pairs, size and palette, in the
            modes of their files.
        inception: Weights of FID's Inception (pytorch-fid's file): adds FID and KID.
        lpips: Weights of AlexNet (torchvision's file) and of LPIPS's heads for it: adds LPIPS.
        progress: Called with images done and images in all.
        report: Called with a line for the user about the data, such as which files make no pair.

    Raises:
        DataError: The data cannot be used, or has no such split.
        ModelFileError: A model file or a network's weights cannot be used.
        SettingsError: The size is too small, the device is not on this machine, or another model does
            another job.
        MissingExtraError: Nothing that could run the model is installed.
    """
    model = _find(model)
    translator = _open(model, engine, device, mode)
    header = translator.header
    others_by_name = {name: _find(other) for name, other in (against or {}).items()}
    for name, other in others_by_name.items():
        check_comparable(name, other.header, header)
    pairs = open_evaluation_set(header, Path(data), split, group_column=group_column, size=size)
    for note in pairs.notes():
        report(f"{note}; likewise of the other pairs")
    if pairs.left_out:
        report(count_left_out(pairs.left_out, Path(data)))
    perceptual = load_perceptual_metrics(
        inception, lpips, bands=header.generator.target_bands, size=pairs.size, device=device
    )
    scored, palette = pairs.scored, header.palette
    if ignored := scored.ignored_share():
        report(f"{ignored:.1%} of the pixels are transparent in source or target: they count in no score")
    if palette is not None and (near := scored.share_near(palette)) < LEAST_NEAR:
        report(
            f"only {near:.0%} of the target pixels have a colour of the model's palette '{palette.name}': "
            "scores of classes mean little on maps of another style"
        )
    train = pairs.train() if baselines else None
    colour = median_colour(scored if train is None else train) if baselines else None

    def source(i: int) -> Pixels:
        return np.ascontiguousarray(pairs.inputs.sources[i])

    def degraded(degradation: Degradation) -> Draw:
        return lambda i: degradation.translate(translator, source(i), i)

    heads: dict[str, Draw] = {}
    if baselines and palette is not None and header.generator.classes == len(palette.classes):
        heads[CLASS_HEAD] = lambda i: _map_of_head(translator, source(i), palette)
    floors = {} if colour is None else baselines_of(scored, None if split == "train" else train, colour)
    degradations = degradations_for(header, pairs.input_size) if robustness else []
    total, done = (1 + len(heads) + len(others_by_name) + len(floors) + len(degradations)) * len(scored), 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    scorer = Scorer(scored, palette, perceptual, tick)
    of_model = scorer.score(MODEL, _maps_of(translator, pairs.inputs))
    rows = [of_model.row, *(scorer.score(name, draw).row for name, draw in heads.items())]
    others = []
    for name, other in others_by_name.items():
        opened = _open(other, engine, device, None)  # one at a time: they may be large
        others.append(_describe(name, other, opened, pairs))
        rows.append(scorer.score(name, _maps_of(opened, pairs.inputs_for(opened.header))).row)
    rows += [scorer.score(name, draw).row for name, draw in floors.items()]
    robust = [Row(name=AS_IT_IS, scores=_in_short(of_model.row.scores))] if degradations else []
    robust += [Row(name=d.name, scores=_in_short(scorer.plain_scores(degraded(d)))) for d in degradations]
    has_confidence = header.palette is not None and bool(header.generator.colours or header.generator.classes)
    bins = measure_reliability(translator, pairs.inputs) if reliability and has_confidence else ()
    file, sha256 = _identity(model)
    return Evaluation(
        protocol=Protocol(
            sat2map=version("sat2map"),
            model=file,
            model_sha256=sha256,
            steps=header.steps,
            engine=translator.engine.name,
            inference_mode=header.inference_mode,
            direction=header.direction,
            palette=palette,
            data=str(data),
            data_fingerprint=scored.fingerprint,
            split=split,
            group_column=pairs.group_column,
            images=len(scored),
            groups=len(set(scored.groups)),
            size=pairs.size,
            input_size=pairs.input_size,
            constant_colour=() if colour is None else tuple(colour.tolist()),
            constant_from="" if colour is None else split if train is None else "train",
            against=tuple(others),
            metric_weights=perceptual.files,
        ),
        rows=tuple(rows),
        confusion=tuple(tuple(counts) for counts in of_model.sheet.confusion().tolist()),
        images=tuple(of_model.images),
        robustness=tuple(robust),
        reliability=bins,
    )


def _find(model: Scorable) -> Model | Translator:
    return model if isinstance(model, Translator) else Model.find(model)


def _open(
    model: Model | Translator, engine: EngineName, device: Device, mode: InferenceMode | None
) -> Translator:
    if isinstance(model, Translator):
        return model
    return Translator.open(model, engine=engine, device=device, mode=mode)


def _identity(model: Model | Translator) -> tuple[str, str]:
    """Return a model's file name and hash; empty for one in memory."""
    return ("", "") if isinstance(model, Translator) else (model.path.name, model.sha256)


def _describe(name: str, model: Model | Translator, opened: Translator, pairs: EvaluationSet) -> OtherModel:
    header, (file, sha256) = opened.header, _identity(model)
    return OtherModel(
        name=name,
        file=file,
        sha256=sha256,
        steps=header.steps,
        engine=opened.engine.name,
        inference_mode=header.inference_mode,
        learned=pairs.count_trained_on(header),
    )


def _maps_of(translator: Translator, inputs: PairCache) -> Draw:
    return lambda i: translator(np.ascontiguousarray(inputs.sources[i]))


def _map_of_head(translator: Translator, source: Pixels, palette: Palette) -> Pixels:
    """Return each pixel's likeliest class in its colour, uint8 (h, w, 3)."""
    return palette.colourise(translator.classes(source).argmax(axis=0).astype(np.uint8))


def _in_short(scores: dict[str, float]) -> dict[str, float]:
    return {name: score for name, score in scores.items() if name in SCORES}
