"""Tests of sat2map.images.palette.labels."""

from __future__ import annotations

import numpy as np
import pytest

from sat2map.errors import SettingsError
from sat2map.images.palette import MapClass, Palette
from sat2map.images.palette.labels import Labeller

MAPS = Palette.load("maps")


def test_a_label_names_the_colour_whose_class_the_pixel_has() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    labels = Labeller(MAPS)(rgb)
    np.testing.assert_array_equal(MAPS.class_of_colour[labels], MAPS.classify(rgb))


def test_each_colour_of_the_palette_has_its_own_label() -> None:
    np.testing.assert_array_equal(Labeller(MAPS)(MAPS.colours), np.arange(len(MAPS.colours)))


def test_what_was_seen_before_gets_the_same_label() -> None:
    labeller, rgb = Labeller(MAPS), np.random.default_rng(1).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(labeller(rgb), labeller(rgb))
    np.testing.assert_array_equal(labeller(rgb[:3]), labeller(rgb)[:3])


def test_a_palette_with_more_colours_than_labels_is_refused() -> None:
    many = tuple((i // 256, i % 256, 0) for i in range(256))
    palette = Palette(
        name="many", classes=(MapClass(name="a", colours=many[:1]), MapClass(name="b", colours=many[1:]))
    )
    with pytest.raises(SettingsError, match="256 colours, and label maps hold 255"):
        Labeller(palette)
