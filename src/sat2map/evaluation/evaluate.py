"""Owns `evaluate()`: a model and pairs in, an `Evaluation` out, with the baselines beside the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sat2map.data.cache import PairCache
from sat2map.engines import EngineName
from sat2map.evaluation.baselines import JPEG_QUALITY, as_jpeg, median_colour, nearest_tiles
from sat2map.evaluation.held_out import MIN_SIZE, open_held_out
from sat2map.evaluation.result import (
    AS_IT_IS,
    CONSTANT,
    JPEG,
    MODEL,
    NEAREST,
    Evaluation,
    ImageScores,
    Protocol,
    Row,
)
from sat2map.evaluation.robustness import DAMAGES, SCORES, translate_damaged
from sat2map.evaluation.scores import ScoreSheet
from sat2map.metrics import sliced_wasserstein
from sat2map.model_file import InferenceMode
from sat2map.palette import Palette
from sat2map.settings import Device
from sat2map.translate import Translator

Pixels = NDArray[np.uint8]
Draw = Callable[[int], Pixels]  # number of an image -> its map

# Fewer images say little of how a set looks; more of them cost memory (1 MB each at 256 px) and tell no more.
SWD_IMAGES = (16, 512)


def evaluate(
    model: str | Path | Translator,
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
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a model on the pairs of a split, through the same translator that serves.

    Args:
        model: A model file, or a translator (`device` and `mode` are then its own).
        data: Folder or CSV of pairs; see `open_held_out` for how a val split that it lacks is cut.
        split: Which of its splits.
        group_column: CSV column of places, which the intervals draw; None for the training's, where the data
            has it.
        size: Side to which images are resized (px); None for what the model was trained for.
        engine: What runs the model file.
        device: Where to run.
        mode: `eval` or `paper`; None for what the model file says.
        baselines: Score the constant map, the nearest training tile and the truth as JPEG too.
        robustness: Score the model on damaged sources too, which takes ten times as long.
        progress: Called with images done and images in all.

    Raises:
        DataError: The data cannot be used, or has no such split.
        ModelFileError: The model file cannot be used.
        SettingsError: The size is too small, or the device is not on this machine.
        MissingExtraError: Nothing that could run the model is installed.
    """
    translator = (
        model
        if isinstance(model, Translator)
        else Translator.open(model, engine=engine, device=device, mode=mode)
    )
    header = translator.header
    held_out = open_held_out(header, Path(data), split, group_column=group_column, size=size)
    scored = held_out.scored
    train = held_out.train() if baselines else None
    colour = median_colour(scored.targets if train is None else train.targets) if baselines else None

    def source(i: int) -> Pixels:
        return np.ascontiguousarray(scored.sources[i])

    def damaged(damage: str) -> Draw:
        return lambda i: translate_damaged(translator, source(i), damage, i)

    rivals = {} if colour is None else _baselines(scored, None if split == "train" else train, colour)
    damages = [d for d in DAMAGES if d != "scale x0.5" or held_out.size >= 2 * MIN_SIZE] if robustness else []
    total, done = (1 + len(rivals) + len(damages)) * len(scored), 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    of_model = _score(lambda i: translator(source(i)), scored, header.palette, tick)
    rows = [of_model.row(MODEL, scored)]
    rows += [_score(draw, scored, header.palette, tick).row(name, scored) for name, draw in rivals.items()]
    robust = [Row(name=AS_IT_IS, scores=_told(of_model.sheet))] if damages else []
    for damage in damages:
        of_damage = _score(damaged(damage), scored, header.palette, tick)
        robust.append(Row(name=damage, scores=_told(of_damage.sheet)))
    return Evaluation(
        protocol=Protocol(
            sat2map=version("sat2map"),
            model="" if isinstance(model, Translator) else Path(model).name,
            model_sha256="" if isinstance(model, Translator) else _sha256(Path(model)),
            steps=header.steps,
            engine=translator.engine.name,
            inference_mode=header.inference_mode,
            direction=header.direction,
            palette=header.palette,
            data=str(data),
            data_fingerprint=scored.fingerprint,
            split=split,
            group_column=held_out.group_column,
            images=len(scored),
            groups=len(set(scored.groups)),
            size=held_out.size,
            constant_colour=() if colour is None else tuple(colour.tolist()),
            constant_from="" if colour is None else split if train is None else "train",
        ),
        rows=tuple(rows),
        confusion=tuple(tuple(counts) for counts in of_model.sheet.confusion().tolist()),
        images=tuple(of_model.images),
        robustness=tuple(robust),
    )


class _Scored(NamedTuple):
    """What one way to make maps scored, and the maps that stand for how the set looks."""

    sheet: ScoreSheet
    images: list[ImageScores]
    kept: dict[int, Pixels]

    def row(self, name: str, scored: PairCache) -> Row:
        scores = self.sheet.scores()
        if len(self.kept) >= SWD_IMAGES[0]:
            targets = [scored.targets[i] for i in self.kept]
            scores["swd"] = sliced_wasserstein(list(self.kept.values()), targets).mean
        return Row(name=name, scores=scores, intervals=self.sheet.intervals())


def _score(draw: Draw, scored: PairCache, palette: Palette | None, tick: Callable[[], None]) -> _Scored:
    result = _Scored(ScoreSheet(palette), [], {})
    keep = set(np.linspace(0, len(scored) - 1, min(SWD_IMAGES[1], len(scored))).astype(int).tolist())
    for i, (name, group) in enumerate(zip(scored.names, scored.groups, strict=True)):
        fake = draw(i)
        scores = result.sheet.add(fake, np.ascontiguousarray(scored.targets[i]), group)
        result.images.append(ImageScores(name=name, group=group, scores=scores))
        if i in keep:
            result.kept[i] = fake
        tick()
    return result


def _baselines(scored: PairCache, train: PairCache | None, colour: Pixels) -> dict[str, Draw]:
    constant = np.broadcast_to(colour, scored.targets[0].shape)
    ways: dict[str, Draw] = {CONSTANT: lambda _: constant}
    if train is not None:
        nearest = nearest_tiles(scored.sources, train.sources)
        ways[NEAREST] = lambda i: np.ascontiguousarray(train.targets[nearest[i]])
    ways[JPEG] = lambda i: as_jpeg(scored.targets[i], JPEG_QUALITY)
    return ways


def _told(sheet: ScoreSheet) -> dict[str, float]:
    return {name: score for name, score in sheet.scores().items() if name in SCORES}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
