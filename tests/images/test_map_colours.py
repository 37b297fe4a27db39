"""Tests of the colours that come with sat2map: classes stay apart, also for colour-blind people."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from sat2map.images.palette import Palette
from sat2map.images.palette.lab import srgb_to_lab

# Machado, Oliveira and Fernandes 2009, severity 1.0; they multiply linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def seen(colours: object, vision: str) -> NDArray[np.uint8]:
    values = np.array(colours) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ VISION[vision].T, 0, 1)
    values = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(values * 255).astype(np.uint8)


def least_difference(palette: Palette, vision: str) -> float:
    """Least Delta E 1976 between colours of two classes."""
    labs = [srgb_to_lab(seen(map_class.colours, vision)) for map_class in palette.classes]
    pairs = itertools.combinations(labs, 2)
    return min(float(np.linalg.norm(one[:, None] - other[None], axis=-1).min()) for one, other in pairs)


@pytest.mark.parametrize(
    ("name", "least"), [("high-contrast", 50), ("dark", 15), ("osm", 6), ("colour-blind", 10)]
)
def test_classes_can_be_told_apart(name: str, least: float) -> None:
    assert least_difference(Palette.load(name), "normal") >= least


@pytest.mark.parametrize("vision", VISION)
def test_the_palette_for_colour_blindness_keeps_classes_apart_in_each_vision(vision: str) -> None:
    assert least_difference(Palette.load("colour-blind"), vision) >= 10


@pytest.mark.parametrize("name", ["high-contrast", "dark", "osm", "colour-blind"])
def test_all_have_the_classes_and_shades_of_the_maps_palette(name: str) -> None:
    shades = {c.name: len(c.colours) for c in Palette.load(name).classes}
    assert shades == {c.name: len(c.colours) for c in Palette.load("maps").classes}
