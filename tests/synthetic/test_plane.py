"""Plane geometry on complex numbers, against cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sat2map.synthetic.plane import area, beside, blob, chord, dense, inset, left_of, ribbon, strips

SQUARE = [0j, 10 + 0j, 10 + 10j, 10j]


def test_the_area_of_a_triangle_is_half_base_times_height():
    assert area([0j, 6 + 0j, 1 + 4j]) == 12


def test_a_line_cuts_a_square_into_parts_that_make_up_the_whole():
    at, along = 3 + 2j, np.exp(0.7j)
    assert area(left_of(SQUARE, at, along)) + area(left_of(SQUARE, at, -along)) == pytest.approx(100)


def test_the_left_of_a_line_is_the_side_of_its_perpendicular():
    assert area(left_of(SQUARE, 3 + 2j, 1)) == pytest.approx(80)
    assert area(left_of(SQUARE, 3 + 2j, 1j)) == pytest.approx(30)


def test_nothing_is_left_of_a_line_that_passes_a_shape_on_its_right():
    assert left_of(SQUARE, 20j, 1) == []


def test_an_inset_moves_every_edge():
    assert area(inset(SQUARE, 2)) == pytest.approx(36)


def test_an_inset_by_more_than_there_is_leaves_nothing():
    assert area(inset(SQUARE, 6)) == 0


def test_strips_cover_what_their_stretches_say():
    assert [area(strip) for strip in strips(SQUARE, 1, [(0, 2), (5, 9), (12, 15)])] == pytest.approx([20, 40])


def test_a_chord_runs_from_border_to_border():
    ends = chord(SQUARE, 4j, 1)
    assert sorted(point.real for point in ends) == [0, 10]
    assert [point.imag for point in ends] == [4, 4]


def test_a_chord_that_misses_is_empty():
    assert chord(SQUARE, 14j, 1) == []


def test_a_dense_polygon_has_the_same_area_and_no_long_edge():
    points = dense(SQUARE, 3, closed=True)
    assert area(points) == pytest.approx(100)
    assert max(abs(q - p) for p, q in zip(points, points[1:] + points[:1], strict=True)) <= 3


def test_a_ribbon_covers_length_times_width():
    assert abs(area(ribbon([0j, 5 + 5j, 10 + 10j], 3))) == pytest.approx(3 * 10 * math.sqrt(2))


def test_the_path_beside_a_straight_one_is_parallel():
    assert beside([0j, 4 + 0j, 8 + 0j], 2) == [2j, 4 + 2j, 8 + 2j]


def test_a_blob_lies_about_its_middle():
    outline = np.array(blob(np.random.default_rng(0), 50 + 20j, 10))
    assert abs(outline.mean() - (50 + 20j)) < 5
    assert np.abs(outline - (50 + 20j)).max() < 20
