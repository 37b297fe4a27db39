"""Validation: scores of the generator on the validation pairs, as it would be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sat2map.evaluation.scores import ScoreSheet
from sat2map.images.pixels import to_unit
from sat2map.inference import Translator
from sat2map.inference.backends.torch import TorchEngine
from sat2map.models.model_file import ModelHeader
from sat2map.runtime import autocast
from sat2map.training.samples import draw_grid
from sat2map.training.setup import Setup

SAMPLE_ROWS = 4


@dataclass(frozen=True)
class Validation:
    """What a validation finds.

    Attributes:
        scores: By name.
        samples: Source, generated map and target of a few pairs, uint8 (h, w, 3).
    """

    scores: dict[str, float]
    samples: NDArray[np.uint8]

    @property
    def selection_metric(self) -> float:
        """By which the best model is kept; higher is better."""
        return self.scores.get("mean_iou", -self.scores["l1"])


def validate(setup: Setup, step: int) -> Validation:
    """Score the best generator on all validation pairs."""
    val = setup.val
    translate = _translator_of(setup, setup.header.model_copy(update={"steps": step}))
    sheet, rows = ScoreSheet(setup.palette), []
    shown = {int(i) for i in np.linspace(0, len(val) - 1, min(SAMPLE_ROWS, len(val)))}
    for i in range(len(val)):
        source, target = np.ascontiguousarray(val.sources[i]), np.ascontiguousarray(val.targets[i])
        fake = translate(source)
        sheet.add(fake, target, val.groups[i])
        if i in shown:
            rows.append((source, fake, target))
    return Validation(sheet.scores(), draw_grid(rows))


def _translator_of(setup: Setup, header: ModelHeader) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    generator = setup.networks.best_generator
    if not header.generator.colours:
        return Translator(TorchEngine(generator, header, setup.device))
    assert setup.palette is not None
    colours, class_of_colour = setup.palette.colours, setup.palette.class_of_colour
    divisor = header.generator.size_divisor

    @torch.no_grad()
    def translate(source: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw each pixel in the likeliest colour of its likeliest class."""
        height, width = source.shape[:2]
        padded = np.pad(source, ((0, -height % divisor), (0, -width % divisor), (0, 0)), mode="reflect")
        pixels = torch.from_numpy(to_unit(padded[None])).to(setup.device)
        was_training = generator.training
        generator.eval()
        with autocast(setup.device, setup.dtype):
            logits = generator(pixels.contiguous(memory_format=torch.channels_last))
        generator.train(was_training)
        chances = logits[0, :, :height, :width].float().softmax(dim=0).cpu().numpy()
        count = int(class_of_colour[-1]) + 1
        by_class = np.stack([chances[class_of_colour == i].sum(axis=0) for i in range(count)])
        chances[class_of_colour[:, None, None] != by_class.argmax(axis=0)] = -1
        drawn: NDArray[np.uint8] = colours[chances.argmax(axis=0)]
        return drawn

    return translate
