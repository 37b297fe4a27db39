from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sat2map.data.cache import PairCache
from sat2map.evaluation.calibration import (
    expected_calibration_error,
    fit_class_offsets,
    fit_temperature,
    measure_reliability,
)
from sat2map.images.palette import Palette

MAPS = Palette.load("maps")
CLASSES = len(MAPS.classes)
OF_COLOUR = np.repeat(np.arange(CLASSES), [len(one.colours) for one in MAPS.classes])


class Guesser:
    """A palette network whose logits are those that a list of images was drawn from, times a factor."""

    def __init__(self, logits, factor):
        self.header = SimpleNamespace(palette=MAPS)
        self._logits, self._factor = logits, factor

    def run(self, source):
        return self._logits[source[0, 0, 0]] * self._factor

    def classes(self, source):
        odds = np.exp(self.run(source))
        sums = np.add.reduceat(odds, np.searchsorted(OF_COLOUR, np.arange(CLASSES)), axis=0)
        return sums / sums.sum(axis=0)


@pytest.fixture(scope="module")
def drawn():
    """Logits, and pairs whose targets are drawn with their probabilities: so these are calibrated."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4, len(OF_COLOUR), 96, 96)).astype(np.float32)
    gumbel = rng.gumbel(size=logits.shape)
    colours = np.array([c for one in MAPS.classes for c in one.colours], np.uint8)
    targets = colours[(logits + gumbel).argmax(axis=1)]
    sources = np.broadcast_to(np.arange(4, dtype=np.uint8)[:, None, None, None], (4, 96, 96, 3))

    names = [str(i) for i in range(4)]
    return logits, PairCache(np.concatenate([sources, targets], axis=3), names, names, 3, "", 3)


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
    overrated = logits + 1.5 * (highway == OF_COLOUR)[None, :, None, None]

    offsets = fit_class_offsets(Guesser(overrated, 1.0), pairs)
    unbiased = fit_class_offsets(Guesser(logits, 1.0), pairs)

    assert offsets[0] == 0
    assert offsets[highway] - offsets.mean() < unbiased[highway] - unbiased.mean() - 0.8
