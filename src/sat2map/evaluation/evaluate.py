"""Owns `evaluate()`: a model and pairs in, an `Evaluation` out, with what it is compared with beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from sat2map.evaluation.baselines import baselines_of, median_colour
from sat2map.evaluation.comparison import refuse_another_job
from sat2map.evaluation.evaluation_set import MIN_SIZE, HeldOut, open_held_out
from sat2map.evaluation.perceptual_metrics import open_judges
from sat2map.evaluation.result import (
    AS_IT_IS,
    CLASS_HEAD,
    MODEL,
    Evaluation,
    OtherModel,
    Protocol,
    Row,
)
from sat2map.evaluation.robustness import DAMAGES, SCORES, translate_damaged
from sat2map.evaluation.rows import Draw, Pixels, Scorer
from sat2map.images.palette import Palette
from sat2map.inference import Translator
from sat2map.inference.backends import EngineName
from sat2map.models.model import Model, ModelLike
from sat2map.models.model_file import InferenceMode
from sat2map.settings import Device

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
    against: Mapping[str, Scorable] | None = None,
    inception: Path | None = None,
    lpips: tuple[Path, Path] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a model on the pairs of a split, through the same translator that serves.

    Args:
        model: A model (see `Model.find`), or a translator (`device` and `mode` are then its own).
        data: Folder or CSV of pairs; see `open_held_out` for how a val split that it lacks is cut.
        split: Which of its splits.
        group_column: CSV column of places, which the intervals draw; None for the training's, where the data
            has it.
        size: Side to which images are resized (px); None for what the model was trained for.
        engine: What runs the model files.
        device: Where to run.
        mode: `eval` or `paper`; None for what the model file says.
        baselines: Score the class head's own map, where the model has one, the constant map, the nearest
            training tile and the truth as JPEG too.
        robustness: Score the model on damaged sources too, which takes ten times as long.
        against: Other models by the names of their rows, scored on the same pairs, size and palette, in the
            modes of their files.
        inception: Weights of FID's Inception (pytorch-fid's file): adds FID and KID.
        lpips: Weights of AlexNet (torchvision's file) and of LPIPS's heads for it: adds LPIPS.
        progress: Called with images done and images in all.

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
        refuse_another_job(name, other.header, header)
    held_out = open_held_out(header, Path(data), split, group_column=group_column, size=size)
    judges = open_judges(
        inception, lpips, bands=header.generator.target_bands, size=held_out.size, device=device
    )
    scored, palette = held_out.scored, header.palette
    train = held_out.train() if baselines else None
    colour = median_colour(scored.targets if train is None else train.targets) if baselines else None

    def source(i: int) -> Pixels:
        return np.ascontiguousarray(scored.sources[i])

    def damaged(damage: str) -> Draw:
        return lambda i: translate_damaged(translator, source(i), damage, i)

    heads: dict[str, Draw] = {}
    if baselines and palette is not None and header.generator.classes == len(palette.classes):
        heads[CLASS_HEAD] = lambda i: _map_of_head(translator, source(i), palette)
    rivals = {} if colour is None else baselines_of(scored, None if split == "train" else train, colour)
    damages = [d for d in DAMAGES if d != "scale x0.5" or held_out.size >= 2 * MIN_SIZE] if robustness else []
    total, done = (1 + len(heads) + len(others_by_name) + len(rivals) + len(damages)) * len(scored), 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    scorer = Scorer(scored, palette, judges, tick)
    of_model = scorer.score(MODEL, _translated(translator, source))
    rows = [of_model.row, *(scorer.score(name, draw).row for name, draw in heads.items())]
    others = []
    for name, other in others_by_name.items():
        rival = _open(other, engine, device, None)  # one at a time: they may be large
        rows.append(scorer.score(name, _translated(rival, source)).row)
        others.append(_told(name, other, rival, held_out))
    rows += [scorer.score(name, draw).row for name, draw in rivals.items()]
    robust = [Row(name=AS_IT_IS, scores=_in_short(of_model.row.scores))] if damages else []
    robust += [Row(name=d, scores=_in_short(scorer.plain_scores(damaged(d)))) for d in damages]
    return Evaluation(
        protocol=Protocol(
            sat2map=version("sat2map"),
            model=_file(model),
            model_sha256=_sha256(model),
            steps=header.steps,
            engine=translator.engine.name,
            inference_mode=header.inference_mode,
            direction=header.direction,
            palette=palette,
            data=str(data),
            data_fingerprint=scored.fingerprint,
            split=split,
            group_column=held_out.group_column,
            images=len(scored),
            groups=len(set(scored.groups)),
            size=held_out.size,
            constant_colour=() if colour is None else tuple(colour.tolist()),
            constant_from="" if colour is None else split if train is None else "train",
            against=tuple(others),
            judges=judges.files,
        ),
        rows=tuple(rows),
        confusion=tuple(tuple(counts) for counts in of_model.sheet.confusion().tolist()),
        images=tuple(of_model.images),
        robustness=tuple(robust),
    )


def _find(model: Scorable) -> Model | Translator:
    return model if isinstance(model, Translator) else Model.find(model)


def _open(
    model: Model | Translator, engine: EngineName, device: Device, mode: InferenceMode | None
) -> Translator:
    if isinstance(model, Translator):
        return model
    return Translator.open(model, engine=engine, device=device, mode=mode)


def _file(model: Model | Translator) -> str:
    return "" if isinstance(model, Translator) else model.path.name


def _sha256(model: Model | Translator) -> str:
    return "" if isinstance(model, Translator) else model.sha256


def _told(name: str, model: Model | Translator, opened: Translator, held_out: HeldOut) -> OtherModel:
    header = opened.header
    return OtherModel(
        name=name,
        file=_file(model),
        sha256=_sha256(model),
        steps=header.steps,
        engine=opened.engine.name,
        inference_mode=header.inference_mode,
        learned=held_out.learned_by(header),
    )


def _translated(translator: Translator, source: Draw) -> Draw:
    return lambda i: translator(source(i))


def _map_of_head(translator: Translator, source: Pixels, palette: Palette) -> Pixels:
    """Draw each pixel's likeliest class in its colour, uint8 (h, w, 3)."""
    return palette.colourise(translator.classes(source).argmax(axis=0).astype(np.uint8))


def _in_short(scores: dict[str, float]) -> dict[str, float]:
    return {name: score for name, score in scores.items() if name in SCORES}
