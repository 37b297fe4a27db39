from __future__ import annotations

import numpy as np
import pytest

from sat2map.data.pair_cache import PairCache
from sat2map.evaluation.calibration import (
    expected_calibration_error,
    fit_class_offsets,
    fit_temperature,
    measure_reliability,
)
from sat2map.images.palette import Palette
from sat2map.inference import Translator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader

MAPS = Palette.load("maps")
CLASSES = len(MAPS.classes)
FIRST_COLOURS = np.array([one.colours[0] for one in MAPS.classes], np.uint8)
OF_COLOUR = np.repeat(np.arange(CLASSES), [len(one.colours) for one in MAPS.classes])


class Guesser(Translator):
    """A palette network whose logits are those that a list of images was drawn from, times a factor."""

    def __init__(self, logits, factor):
        self.header = ModelHeader(generator=GeneratorSpec(), palette=MAPS)
        self._logits, self._factor = logits, factor

    def run(self, source, progress=None):
        return self._logits[source[0, 0, 0]] * self._factor

    def classes(self, source):
        starts = np.searchsorted(OF_COLOUR, np.arange(CLASSES))
        odds = np.exp(np.maximum.reduceat(self.run(source), starts, axis=0))
        return odds / odds.sum(axis=0)


def _pairs(sources, targets):
    names = [str(i) for i in range(len(sources))]
    return PairCache(np.concatenate([sources, targets], axis=3), names, names, 3, "", 3)


@pytest.fixture(scope="module")
def drawn():
    """Logits, and pairs whose targets are drawn with their probabilities: so these are calibrated."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4, len(OF_COLOUR), 96, 96)).astype(np.float32)
    starts = np.searchsorted(OF_COLOUR, np.arange(CLASSES))
    of_classes = np.maximum.reduceat(logits, starts, axis=1)
    gumbel = rng.gumbel(size=of_classes.shape)
    targets = FIRST_COLOURS[(of_classes + gumbel).argmax(axis=1)]
    sources = np.broadcast_to(np.arange(4, dtype=np.uint8)[:, None, None, None], (4, 96, 96, 3))

    return logits, _pairs(sources, targets)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_fitted_temperature_undoes_overconfidence(drawn, factor):
    logits, pairs = drawn

    assert fit_temperature(Guesser(logits, factor), pairs) == pytest.approx(factor, rel=0.03)


def test_of_calibrated_probabilities_the_share_that_is_right_is_the_confidence(drawn):
    logits, pairs = drawn

    found = measure_reliability(Guesser(logits, 1.0), pairs)

    assert sum(one.pixels for one in found) == 4 * 96 * 96
    assert expected_calibration_error(found) < 0.01
    assert all(one.low <= one.confidence <= one.high for one in found)


def test_overconfidence_shows_as_calibration_error(drawn):
    logits, pairs = drawn

    assert expected_calibration_error(measure_reliability(Guesser(logits, 3.0), pairs)) > 0.1


def test_offsets_take_back_what_a_weighted_training_added_to_a_rare_class(drawn):
    logits, pairs = drawn
    highway = MAPS.index("highway")
    overrated = logits + 1.5 * np.equal(OF_COLOUR, highway)[None, :, None, None]

    offsets = fit_class_offsets(Guesser(overrated, 1.0), pairs)
    unbiased = fit_class_offsets(Guesser(logits, 1.0), pairs)

    assert offsets[0] == 0
    assert offsets[highway] - offsets.mean() < unbiased[highway] - unbiased.mean() - 0.8


def test_an_offset_is_the_middle_of_those_that_are_as_good():
    """Half of the pixels are land, which leads by 1.0, half are water, which trails by 0.2.

    So 0.25, 0.30, … 1.00 are exact. The other classes are never near. The
    middle is 0.625.
    """
    land, water = MAPS.index("land"), MAPS.index("water")
    assert land == 0
    first = np.searchsorted(OF_COLOUR, np.arange(CLASSES))
    logits = np.full((1, len(OF_COLOUR), 64, 64), -9.0, np.float32)
    logits[:, first[land], :32], logits[:, first[water], :32] = 1.01, 0.0
    logits[:, first[land], 32:], logits[:, first[water], 32:] = 0.21, 0.0
    targets = np.where(np.arange(64)[:, None, None] < 32, FIRST_COLOURS[land], FIRST_COLOURS[water])
    targets = np.broadcast_to(targets, (64, 64, 3)).astype(np.uint8)[None]
    pairs = _pairs(np.zeros((1, 64, 64, 3), np.uint8), targets)

    offsets = fit_class_offsets(Guesser(logits, 1.0), pairs)

    assert offsets[water] == pytest.approx(0.625, abs=0.03)
    assert offsets[np.arange(CLASSES) != water].tolist() == [0] * (CLASSES - 1)


def test_a_class_that_is_right_as_it_is_gets_no_offset_whatever_the_sum_of_another_classes_colours():
    """Land has three fair shades, and water one that is likelier by 0.3: all of -0.25 to 1.2 is right."""
    land, water = MAPS.index("land"), MAPS.index("water")
    logits = np.full((1, len(OF_COLOUR), 64, 64), -9.0, np.float32)
    logits[:, land == OF_COLOUR] = 1.0
    logits[:, np.searchsorted(OF_COLOUR, water), 32:] = 1.3
    targets = np.where(np.arange(64)[:, None, None] < 32, FIRST_COLOURS[land], FIRST_COLOURS[water])
    targets = np.broadcast_to(targets, (64, 64, 3)).astype(np.uint8)[None]
    pairs = _pairs(np.zeros((1, 64, 64, 3), np.uint8), targets)

    offsets = fit_class_offsets(Guesser(logits, 1.0), pairs)

    assert offsets[water] == 0  # by sums it would need log 3 - 0.3
