"""Validation: scores of the generator on the validation pairs, as it would be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sat2map.evaluation.scores import ScoreSheet
from sat2map.inference import Translator
from sat2map.inference.backends.torch.engine import TorchEngine
from sat2map.models.header import ModelHeader
from sat2map.training.class_offsets import calibrated
from sat2map.training.samples import draw_grid
from sat2map.training.setup import Setup

SAMPLE_ROWS = 4


@dataclass(frozen=True)
class Validation:
    """What a validation finds.

    Attributes:
        generator: The generator that was scored, as it is to be used.
        header: Its header, with the scores.
        scores: By name.
        samples: Source, generated map and target of a few pairs, uint8 (h, w, 3).
        confusion: Pixels by class of the target (rows) and of the generated map, int64; (0, 0) if no class.
    """

    generator: nn.Module
    header: ModelHeader
    scores: dict[str, float]
    samples: NDArray[np.uint8]
    confusion: NDArray[np.int64]


def validate(setup: Setup, step: int) -> Validation:
    """Score the best generator, as it is to be used, on all validation pairs."""
    val = setup.val
    # The pairs were brought to the input's scale when they were read.
    as_read = setup.header.model_copy(update={"steps": step, "source_scale": None})
    generator, header = calibrated(setup, as_read)
    dtype = setup.dtype if header.generator.colours else torch.float32
    translate = Translator(TorchEngine(generator, header, setup.device, dtype))
    sheet, rows = ScoreSheet(setup.palette), []
    shown = {int(i) for i in np.linspace(0, len(val) - 1, min(SAMPLE_ROWS, len(val)))}
    for i in range(len(val)):
        source, target = np.ascontiguousarray(val.sources[i]), np.ascontiguousarray(val.targets[i])
        fake = translate(source)
        sheet.add(fake, target, val.groups[i], val.ignored(i))
        if i in shown:
            rows.append((source, fake, target))
    scores = sheet.scores()
    facts = {"scores": scores, "source_scale": setup.header.source_scale}
    header = header.model_copy(update=facts)
    return Validation(generator, header, scores, draw_grid(rows), sheet.confusion())
