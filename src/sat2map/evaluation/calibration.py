"""Calibration: whether the confidence of a class map is the share of right pixels, and how to make it so.

Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from sat2map.data.pair_cache import PairCache
from sat2map.evaluation.metrics.classes import confusion_matrix, mean_iou
from sat2map.evaluation.result import ReliabilityBin
from sat2map.images.palette import Palette
from sat2map.inference import Translator

BINS = 10
PIXELS_PER_IMAGE = 4096  # a sample; a neighbour's logits say little more
TEMPERATURES = (0.25, 4.0)
MAX_OFFSET = 1.2
OFFSET_STEP = 0.05
AS_GOOD = 0.002  # of mean class IoU; a fifth of what chance makes of 136 pairs
ROUNDS = 4


def measure_reliability(translator: Translator, pairs: PairCache) -> tuple[ReliabilityBin, ...]:
    """Count, for each range of confidence, how often the likeliest class is that of the real map.

    Args:
        translator: A model with class probabilities and a palette.
        pairs: Pairs at the size at which the model is given the sources.

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


def fit_temperature(translator: Translator, pairs: PairCache) -> float:
    """Return the temperature at which the classes of real maps are likeliest (section 4.2).

    The pairs are of the size at which the model is given the sources.
    """
    logits, targets = _samples(translator, pairs)
    below_best = logits - logits.max(axis=1, keepdims=True)
    right = below_best[np.arange(len(targets)), targets]

    def negative_log_likelihood(temperature: float) -> float:
        normaliser = np.log(np.exp(below_best / temperature).sum(axis=1))
        return float((normaliser - right / temperature).mean())

    return float(minimize_scalar(negative_log_likelihood, bounds=TEMPERATURES, method="bounded").x)


def fit_class_offsets(translator: Translator, pairs: PairCache) -> NDArray[np.float32]:
    """Return what to add to each class's logits so that the likeliest classes overlap best with real maps.

    A training that weighs rare classes more learns them as likelier than they are, and draws them too large.
    Menon et al. 2021, "Long-tail learning via logit adjustment", https://arxiv.org/abs/2007.07314.

    Args:
        translator: A palette network.
        pairs: Pairs at the size at which the model is given the sources.

    Returns:
        float32 (classes,), at most `MAX_OFFSET` up or down; the first class's is 0. One class after the other
        gets the offset with the best mean class IoU beside those of the others: none where none is as good,
        else the middle of those that are. The edge of a plateau is where another city falls off: taking 0.4
        from buildings for 0.002 here cost 0.05 of their IoU there.
    """
    logits, targets = _samples(translator, pairs)
    classes = logits.shape[1]
    steps = round(MAX_OFFSET / OFFSET_STEP)
    candidates = np.arange(-steps, steps + 1) * OFFSET_STEP
    offsets = np.zeros(classes)
    for _ in range(ROUNDS):
        before = offsets.copy()
        for number in range(1, classes):
            others = logits + offsets
            others[:, number] = -np.inf
            rival = others.argmax(axis=1).astype(np.uint8)
            lead = others.max(axis=1) - logits[:, number]  # what the class needs to win
            scores = np.array(
                [
                    mean_iou(confusion_matrix(np.where(offset > lead, number, rival), targets, classes))
                    for offset in candidates
                ]
            )
            offsets[number] = candidates[_choose(scores)]
        if np.array_equal(offsets, before):
            break
    return offsets.astype(np.float32)


def _choose(scores: NDArray[np.float64]) -> int:
    """Return the middle score of all, or of those around the best one that are within `AS_GOOD` of it."""
    best = int(scores.argmax())
    worse = np.flatnonzero(scores < scores[best] - AS_GOOD)
    first = worse[worse < best].max(initial=-1) + 1
    last = worse[worse > best].min(initial=len(scores)) - 1
    middle = len(scores) // 2
    return middle if first <= middle <= last else int(first + last) // 2


def _samples(translator: Translator, pairs: PairCache) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return logits of classes, float32 (n, classes), and true classes, uint8 (n,), of pixels of all images.

    A class has the logit of its likeliest colour, as in `inference.drawing`. Ignored pixels are left out.
    """
    rng = np.random.default_rng(0)
    palette = _palette(translator)
    starts = np.cumsum([0, *(len(one.colours) for one in palette.classes)])[:-1]
    logits, targets = [], []
    for i in range(len(pairs)):
        of_colours = translator.run(np.ascontiguousarray(pairs.sources[i]))
        of_image, ignored = _true_classes(pairs, i, palette).ravel(), pairs.ignored(i)
        known = np.arange(len(of_image)) if ignored is None else np.flatnonzero(~ignored)
        chosen = rng.choice(known, min(PIXELS_PER_IMAGE, len(known)), replace=False)
        of_classes = np.maximum.reduceat(of_colours.reshape(len(of_colours), -1)[:, chosen], starts, axis=0)
        logits.append(of_classes.T)
        targets.append(of_image[chosen])
    return np.concatenate(logits), np.concatenate(targets)


def _true_classes(pairs: PairCache, i: int, palette: Palette) -> NDArray[np.uint8]:
    """Return the classes of a real map, uint8 (h, w); those of ignored pixels mean nothing."""
    if pairs.target_bands:
        return palette.classify(np.ascontiguousarray(pairs.targets[i]))
    colours = np.minimum(pairs.labels[i], len(palette.colours) - 1)
    classes: NDArray[np.uint8] = palette.class_of_colour[colours]
    return classes


def _palette(translator: Translator) -> Palette:
    assert translator.header.palette is not None
    return translator.header.palette
