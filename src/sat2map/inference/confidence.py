"""Confidence of RGB networks: agreement of their outputs for eight views of the same ground."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sat2map.images.palette import Palette
from sat2map.images.pixels import from_unit
from sat2map.inference.blending import Run
from sat2map.inference.tta import SYMMETRIES, tta_outputs
from sat2map.models.model_file import ModelHeader

Votes = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # outputs → (classes, h, w), 1 in all at a pixel

_SPREAD = np.float32(
    0.5
)  # standard deviation of the eight, in the range of [-1, 1], that leaves no confidence


def with_confidence(run: Run, header: ModelHeader, *, tta: bool) -> Run:
    """Return a network with one output more: confidence, 0..1, from the eight symmetries.

    With a class head it is the largest of the classes' mean probabilities; with a palette, the largest share
    of the eight that draw one class; else it falls with their spread.

    Args:
        run: The network on a batch of one.
        header: What its outputs are.
        tta: Whether the other outputs are the mean of the eight, or those of the picture as it is.
    """
    bands = header.generator.target_bands
    votes = _votes(header)

    def run_all(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        ways = tta_outputs(run, batch)
        first = next(ways)[0]
        total, squares = first.copy(), first[:bands] ** 2
        agreed = votes(first) if votes else None
        for way in ways:
            out = way[0]
            total += out
            if votes is not None and agreed is not None:
                agreed += votes(out)
            else:
                squares += out[:bands] ** 2
        mean = total / np.float32(len(SYMMETRIES))
        if agreed is None:
            variance = squares / np.float32(len(SYMMETRIES)) - mean[:bands] ** 2
            sure = np.clip(1 - np.sqrt(np.maximum(variance, 0)).mean(axis=0) / _SPREAD, 0, 1)
        else:
            sure = agreed.max(axis=0) / np.float32(len(SYMMETRIES))
        return np.concatenate([mean if tta else first, sure[None]])[None]

    return run_all


def _votes(header: ModelHeader) -> Votes | None:
    bands = header.generator.target_bands
    if header.generator.classes:
        return lambda out: _softmax(out[bands:])
    if header.palette is not None and bands == 3:
        return _palette_votes(header.palette)
    return None


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    odds = np.exp(logits - logits.max(axis=0))
    probabilities: NDArray[np.float32] = odds / odds.sum(axis=0)
    return probabilities


def _palette_votes(palette: Palette) -> Votes:
    table, bits = palette.lookup(), np.array([4096, 64, 1], np.int32)  # 6 bits a channel
    numbers = np.arange(len(palette.names), dtype=np.uint8)[:, None, None]

    def votes(out: NDArray[np.float32]) -> NDArray[np.float32]:
        classes = table[(from_unit(out[:3]) >> 2) @ bits]
        one_hot: NDArray[np.float32] = (classes == numbers).astype(np.float32)
        return one_hot

    return votes
