"""The examples of an evaluation: its best, median and worst images, drawn, and kept beside a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import DataError
from sat2map.evaluation.evaluation_set import open_evaluation_set
from sat2map.evaluation.result import Evaluation, ImageScores
from sat2map.images.pixels import read_image, write_image
from sat2map.inference import Translator
from sat2map.settings import Device

EACH = 2  # examples of a kind, where there are images enough
_SIDES = ("source", "fake", "target")


@dataclass(frozen=True, eq=False)
class Example:
    """One image of an evaluation, to look at.

    Attributes:
        kind: `best 1`, `median 1`, `worst 1` and so on, in order of their scores.
        image: Its name and scores.
        source: uint8 (h, w, source_bands).
        fake: uint8 (h, w, target_bands).
        target: uint8 (h, w, target_bands).
    """

    kind: str
    image: ImageScores
    source: NDArray[np.uint8]
    fake: NDArray[np.uint8]
    target: NDArray[np.uint8]


def pick_examples(evaluation: Evaluation) -> dict[str, int]:
    """Choose images by score: kind (`best 1`, ...) to number of the image, best to worst, none twice."""
    order = sorted(range(len(evaluation.images)), key=lambda i: -evaluation.images[i].rank_key)
    each = max(1, min(EACH, len(order) // 3))
    middle = (len(order) - each) // 2
    chosen = {
        "best": order[:each],
        "median": order[middle : middle + each],
        "worst": order[max(0, len(order) - each) :],
    }
    kinds: dict[str, int] = {}
    for kind, images in chosen.items():
        for i in images:
            if i not in kinds.values():
                kinds[f"{kind} {images.index(i) + 1}"] = i
    return kinds


def draw_examples(
    evaluation: Evaluation, model: str | Path | Translator, data: str | Path, *, device: Device = "auto"
) -> list[Example]:
    """Translate the best, median and worst images again, as they were for the scores.

    Raises:
        DataError: The pairs are not those that were scored.
        ModelFileError: The model file cannot be used.
    """
    protocol = evaluation.protocol
    if not isinstance(model, Translator):
        model = Translator.open(model, device=device, mode=protocol.inference_mode)
    pairs = open_evaluation_set(
        model.header, Path(data), protocol.split, group_column=protocol.group_column, size=protocol.size
    )
    scored = pairs.scored
    if scored.fingerprint != protocol.data_fingerprint:
        raise DataError(f"the pairs in {data} are not those that were scored", hint="evaluate again")
    examples = []
    for kind, i in pick_examples(evaluation).items():
        source, target = (np.ascontiguousarray(of[i]) for of in (pairs.inputs.sources, pairs.inputs.targets))
        examples.append(Example(kind, evaluation.images[i], source, model(source), target))
    return examples


def save_examples(folder: Path, examples: list[Example]) -> None:
    """Write the pictures of examples into a folder, as `best-1-source.png` and so on.

    Raises:
        OutputError: They cannot be written.
    """
    for example in examples:
        for side in _SIDES:
            write_image(_picture(folder, example.kind, side), getattr(example, side))


def load_examples(folder: Path, evaluation: Evaluation) -> list[Example]:
    """Read what `save_examples` wrote; examples whose pictures are not all there are left out."""
    examples = []
    for kind, i in pick_examples(evaluation).items():
        paths = [_picture(folder, kind, side) for side in _SIDES]
        if all(path.is_file() for path in paths):
            source, fake, target = (read_image(path).pixels for path in paths)
            examples.append(Example(kind, evaluation.images[i], source, fake, target))
    return examples


def _picture(folder: Path, kind: str, side: str) -> Path:
    return folder / f"{kind.replace(' ', '-')}-{side}.png"
