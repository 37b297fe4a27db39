"""Calibration: whether the confidence of a class map is the share of right pixels, and how to make it so.

Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from sat2map.data.cache import PairCache
from sat2map.evaluation.metrics import confusion_matrix, mean_iou
from sat2map.evaluation.result import ReliabilityBin
from sat2map.images.palette import Palette
from sat2map.inference import Translator

BINS = 10
PIXELS_PER_IMAGE = 4096  # a sample; a neighbour's logits say little more
TEMPERATURES = (0.25, 4.0)
OFFSET_STEPS = (0.4, 0.2, 0.1)
MAX_OFFSET = 2.0


def measure_reliability(
    translator: Translator, pairs: PairCache, tick: Callable[[], None] = lambda: None
) -> tuple[ReliabilityBin, ...]:
    """Count, for each range of confidence, how often the likeliest class is that of the real map.

    Args:
        translator: A model with class probabilities and a palette.
        pairs: Pairs at the size at which the model is given the sources.
        tick: Called after every image.

    Returns:
        The ranges that have pixels, of width 1 / BINS.
    """
    counts = np.zeros((BINS, 3))  # pixels, sum of confidence, right ones
    palette = _palette(translator)
    for i in range(len(pairs)):
        probabilities = translator.classes(np.ascontiguousarray(pairs.sources[i]))
        confidence, found = probabilities.max(axis=0).ravel(), probabilities.argmax(axis=0).ravel()
        right = found == palette.classify(np.ascontiguousarray(pairs.targets[i])).ravel()
        if (ignored := pairs.ignored(i)) is not None:
            confidence, right = confidence[~ignored.ravel()], right[~ignored.ravel()]
        numbers = np.minimum((confidence * BINS).astype(int), BINS - 1)
        for column, weights in enumerate((None, confidence, right)):
            counts[:, column] += np.bincount(numbers, weights, minlength=BINS)
        tick()
    return tuple(
        ReliabilityBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            pixels=int(pixels),
            confidence=confidence / pixels,
            accuracy=right / pixels,
        )
        for number, (pixels, confidence, right) in enumerate(counts)
        if pixels
    )


def expected_calibration_error(reliability: tuple[ReliabilityBin, ...]) -> float:
    """Return the mean gap between confidence and accuracy over pixels, 0 to 1 (0 is best); equation 3."""
    total = sum(one.pixels for one in reliability)
    return sum(one.pixels * abs(one.accuracy - one.confidence) for one in reliability) / total


def fit_temperature(translator: Translator, pairs: PairCache, *, seed: int = 0) -> float:
    """Return the temperature at which the classes of real maps are likeliest (section 4.2).

    Args:
        translator: A palette network, run at any temperature.
        pairs: Validation pairs at the size at which the model is given the sources.
        seed: Of the sample of pixels.
    """
    palette = _palette(translator)
    of_colour = np.repeat(np.arange(len(palette.classes)), [len(one.colours) for one in palette.classes])
    logits, targets = (
        np.concatenate(parts) for parts in zip(*_samples(translator, pairs, seed), strict=True)
    )
    is_right = of_colour[None, :] == targets[:, None]

    def negative_log_likelihood(temperature: float) -> float:
        scaled = logits / temperature
        odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        right = (odds * is_right).sum(axis=1) / odds.sum(axis=1)
        return float(-np.log(np.maximum(right, 1e-12)).mean())

    return float(minimize_scalar(negative_log_likelihood, bounds=TEMPERATURES, method="bounded").x)


def fit_class_offsets(translator: Translator, pairs: PairCache, *, seed: int = 0) -> NDArray[np.float32]:
    """Return what to add to each class's logits so that the likeliest classes overlap best with real maps.

    A training that weighs rare classes more learns them as likelier than they are, and draws them too large.
    Menon et al. 2021, "Long-tail learning via logit adjustment", https://arxiv.org/abs/2007.07314.

    Args:
        translator: A palette network.
        pairs: Validation pairs at the size at which the model is given the sources.
        seed: Of the sample of pixels.

    Returns:
        float32 (classes,), from coordinate ascent on the mean class IoU; the first class's is 0.
    """
    palette = _palette(translator)
    logits, targets = (
        np.concatenate(parts) for parts in zip(*_samples(translator, pairs, seed), strict=True)
    )
    starts = np.cumsum([0, *(len(one.colours) for one in palette.classes)])[:-1]
    top = logits.max(axis=1, keepdims=True)
    log_odds = np.log(np.add.reduceat(np.exp(logits - top), starts, axis=1) + 1e-12)
    classes = len(palette.classes)

    def score(offsets: NDArray[np.float32]) -> float:
        found = (log_odds + offsets).argmax(axis=1).astype(np.uint8)
        return mean_iou(confusion_matrix(found, targets, classes))

    offsets, best = np.zeros(classes, np.float32), score(np.zeros(classes, np.float32))
    for step in OFFSET_STEPS:
        for number in range(1, classes):
            for move in (-step, step):
                while True:
                    tried = offsets.copy()
                    tried[number] += move
                    if abs(tried[number]) > MAX_OFFSET or (found := score(tried)) <= best:
                        break
                    offsets, best = tried, found
    return offsets


def _samples(
    translator: Translator, pairs: PairCache, seed: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Yield logits, float32 (n, colours), and true classes, uint8 (n,), of some pixels of each image."""
    rng = np.random.default_rng(seed)
    palette = _palette(translator)
    for i in range(len(pairs)):
        logits = translator.run(np.ascontiguousarray(pairs.sources[i]))
        targets = palette.classify(np.ascontiguousarray(pairs.targets[i])).ravel()
        chosen = rng.choice(len(targets), min(PIXELS_PER_IMAGE, len(targets)), replace=False)
        yield logits.reshape(len(logits), -1)[:, chosen].T, targets[chosen]


def _palette(translator: Translator) -> Palette:
    assert translator.header.palette is not None
    return translator.header.palette
