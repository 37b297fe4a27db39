"""Soft map classes of an image, against the palette's own classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sat2map.images.palette import Palette
from sat2map.images.palette.lab import srgb_to_lab
from sat2map.training.soft_palette import SoftPalette

PALETTE = Palette.load("maps")
SOFT = SoftPalette(PALETTE, torch.device("cpu"))


def unit(rgb: np.ndarray) -> torch.Tensor:
    """Return uint8 (n, h, w, 3) as float (n, 3, h, w) in [-1, 1]."""
    return (torch.from_numpy(rgb).float() / 127.5 - 1).movedim(-1, 1)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 40, 30, 3), dtype=np.uint8)


def test_the_most_probable_class_is_the_one_that_a_map_is_scored_by(noise: np.ndarray) -> None:
    assert np.array_equal(SOFT(unit(noise)).argmax(1).numpy(), PALETTE.classify(noise))


def test_probabilities_are_the_softmax_of_distances_in_cielab(noise: np.ndarray) -> None:
    lab = srgb_to_lab(noise).astype(np.float64)
    colours = [srgb_to_lab(np.array(one.colours, np.uint8)) for one in PALETTE.classes]
    distances = [np.linalg.norm(lab[..., None, :] - some, axis=-1).min(-1) for some in colours]
    weights = np.exp(-np.stack(distances, axis=1))
    expected = weights / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(SOFT(unit(noise)).numpy(), expected, atol=2e-3)


def test_the_colour_of_a_class_is_nearly_surely_of_that_class() -> None:
    for i, one in enumerate(PALETTE.classes):
        colours = np.array(one.colours, np.uint8)[None, None]
        assert float(SOFT(unit(colours))[:, i].min()) > 0.9, one.name


def test_gradients_are_finite_for_every_colour_also_black_white_and_those_of_the_palette() -> None:
    colours = [c for one in PALETTE.classes for c in one.colours]
    rgb = np.array([[[(0, 0, 0), (255, 255, 255), (10, 10, 10), (255, 0, 0), *colours]]], np.uint8)[0]
    image = unit(rgb).requires_grad_()
    SOFT(image)[:, 2].sum().backward()
    assert image.grad is not None
    assert bool(torch.isfinite(image.grad).all())


def test_a_step_against_the_gradient_makes_a_class_more_probable() -> None:
    image = torch.full((1, 3, 4, 4), 0.87).requires_grad_()  # between land and building
    building = PALETTE.index("building")
    before = SOFT(image)[:, building].mean()
    before.backward()
    assert image.grad is not None
    with torch.no_grad():
        after = SOFT(image + 0.01 * image.grad.sign())[:, building].mean()
        assert after > before
