"""Tests of sat2map.training.samples."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sat2map.training.samples import GAP, HEADER, draw_grid


def pictures(count: int, bands: int = 3, size: tuple[int, int] = (20, 30)) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, bands)).astype(np.uint8) for _ in range(count)]


def cell(
    grid: NDArray[np.uint8], row: int, column: int, height: int = 20, width: int = 30
) -> NDArray[np.uint8]:
    top, left = HEADER + row * (height + GAP), GAP + column * (width + GAP)
    return grid[top : top + height, left : left + width]


def test_each_picture_stands_unchanged_in_its_row_and_column() -> None:
    rows = [pictures(3), pictures(3)[::-1]]
    grid = draw_grid(rows)
    for i, row in enumerate(rows):
        for column, picture in enumerate(row):
            np.testing.assert_array_equal(cell(grid, i, column), picture)


def test_headings_are_written_above_the_columns() -> None:
    grid = draw_grid([pictures(3)])
    above = grid[:HEADER]
    for column in range(3):
        part = above[:, GAP + column * (30 + GAP) :][:, :30]
        assert part.min() < 128


def test_a_grey_picture_is_shown_as_grey() -> None:
    (grey,) = pictures(1, bands=1)
    grid = draw_grid([[grey] * 3])
    np.testing.assert_array_equal(cell(grid, 0, 0), np.repeat(grey, 3, axis=2))


@pytest.mark.parametrize("bands", [3, 4])
def test_of_more_bands_the_first_three_are_shown(bands: int) -> None:
    (picture,) = pictures(1, bands=bands)
    np.testing.assert_array_equal(cell(draw_grid([[picture] * 3]), 0, 2), picture[..., :3])


def test_there_may_be_other_columns() -> None:
    grid = draw_grid([pictures(2)], headings=("before", "after"))
    assert grid.shape[1] == 2 * (30 + GAP) + GAP
