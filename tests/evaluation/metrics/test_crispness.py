import numpy as np
import pytest

from sat2map.evaluation.metrics.crispness import crispness
from sat2map.images.palette import Palette

MAPS = Palette.load("maps")


def test_a_map_in_the_colours_of_its_palette_is_crisp_all_over():
    colours = np.array([[c for one in MAPS.classes for c in one.colours]], np.uint8)

    assert crispness(colours, MAPS) == 1


def test_each_pixel_of_a_mixed_colour_counts_against_it():
    water, land = MAPS.classes[MAPS.index("water")].colours[0], MAPS.classes[0].colours[0]
    mixed = tuple((a + b) // 2 for a, b in zip(water, land, strict=True))
    image = np.array([[water, land, mixed, land]], np.uint8)

    assert crispness(image, MAPS) == 0.75


@pytest.mark.parametrize(("shift", "share"), [(1, 1.0), (8, 0.0)])
def test_a_difference_that_cannot_be_seen_does_not_count(shift, share):
    colour = np.array(MAPS.classes[MAPS.index("park")].colours[0], int) + shift

    assert crispness(colour.astype(np.uint8)[None, None], MAPS) == share
