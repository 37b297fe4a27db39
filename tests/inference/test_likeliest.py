"""The likeliest output of each pixel, against NumPy's argmax of all outputs interpolated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sat2map.inference.blending import Block, blended_blocks
from sat2map.inference.likeliest import likeliest, likeliest_on
from sat2map.inference.resample import Resampling
from sat2map.inference.tiling import Area, Grid, pad_to


def test_it_is_the_first_of_the_largest() -> None:
    values = np.random.default_rng(0).integers(0, 3, (14, 37, 41)).astype(np.float32)  # full of equals
    np.testing.assert_array_equal(likeliest(values), values.argmax(axis=0))


@pytest.mark.parametrize("scale", [1 / 3, 0.37, 0.99, 1.0, 1.7])
def test_on_another_grid_it_is_that_of_the_interpolated_outputs(scale: float) -> None:
    values = _smooth(14, 40, 50)
    size = (round(40 / scale), round(50 / scale))
    resampling = Resampling.between((40, 50), size, (scale, scale))
    block, area = Block(Area(0, 0, 40, 50), (0, 0), values), Area(0, 0, *size)
    expected = resampling.apply(block, area).argmax(axis=0)
    np.testing.assert_array_equal(likeliest_on(block, resampling, area), expected)


def test_an_output_that_wins_only_between_two_others_is_found() -> None:
    # At 2/3 between the pixels: 1.33, 0.67 and the third, 1.5.
    values = np.array([[[4, 0]], [[0, 2]], [[1.5, 1.5]]], np.float32)
    resampling = Resampling.between((1, 2), (3, 6), (1 / 3, 1 / 3))
    found = likeliest_on(Block(Area(0, 0, 1, 2), (0, 0), values), resampling, Area(0, 0, 3, 6))
    assert found[1].tolist() == [0, 0, 0, 2, 1, 1]


def test_blocks_of_tiles_join_to_the_whole() -> None:
    values = _smooth(5, 150, 170)
    size = (400, 453)
    resampling = Resampling.between((150, 170), size)
    whole = np.full(size, 255, np.uint8)

    def cut(rows: Any, columns: Any) -> NDArray[np.float32]:
        part = values[:, rows.start : rows.stop, columns.start : columns.stop]
        return pad_to(part, rows.stop - rows.start, columns.stop - columns.start)

    blocks = blended_blocks(Grid(64, 48), (150, 170), cut, lambda x: x.copy(), margin=resampling.margin)
    for block in blocks:
        area = resampling.finished_by(block.area, Area(0, 0, *size))
        whole[area.top : area.bottom, area.left : area.right] = likeliest_on(block, resampling, area)
    everything = Block(Area(0, 0, 150, 170), (0, 0), values)
    expected = resampling.apply(everything, Area(0, 0, *size)).argmax(axis=0)
    assert (whole == expected).mean() > 0.9999  # where tiles are blended, the last bits differ


@pytest.mark.parametrize("grid", [Grid(64, 48), Grid(64, 32), Grid(33, 24)])
@pytest.mark.parametrize("area", [None, Area(0, 0, 10, 170), Area(37, 41, 120, 61), Area(70, 100, 71, 160)])
def test_where_tiles_do_not_overlap_it_need_not_be_blended(grid: Grid, area: Area | None) -> None:
    values = _smooth(5, 150, 170)
    resampling = Resampling.between((150, 170), (150, 170))
    random = np.random.default_rng(1)

    def cut(rows: Any, columns: Any) -> NDArray[np.float32]:
        part = values[:, rows.start : rows.stop, columns.start : columns.stop]
        noise = random.uniform(-0.3, 0.3, part.shape).astype(np.float32)  # tiles differ where they overlap
        return pad_to(part + noise, rows.stop - rows.start, columns.stop - columns.start)

    def run_inside(batch: NDArray[np.float32], inside: Area) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        assert not any(side % 2 for side in (inside.top, inside.left, inside.bottom, inside.right))
        outputs = batch[0].copy()
        numbers = outputs[:, inside.rows, inside.columns].argmax(axis=0).astype(np.uint8)
        outputs[:, inside.rows, inside.columns] = np.nan
        return outputs, numbers

    def whole(**options: Any) -> NDArray[np.uint8]:
        nonlocal random
        random, found = np.random.default_rng(1), np.full((150, 170), 255, np.uint8)
        for block in blended_blocks(grid, (150, 170), cut, lambda x: x.copy(), area, **options):
            found[block.area.rows, block.area.columns] = likeliest_on(block, resampling, block.area)
        return found

    found = whole(run_inside=run_inside)
    np.testing.assert_array_equal(found, whole())
    assert (found < 255).sum() == (150 * 170 if area is None else area.height * area.width)


def _smooth(outputs: int, height: int, width: int) -> NDArray[np.float32]:
    """Return outputs whose largest is the same over some pixels, and changes along edges."""
    random = np.random.default_rng(1)
    coarse = random.standard_normal((outputs, height // 8 + 1, width // 8 + 1))
    fine = np.kron(coarse, np.ones((8, 8)))[:, :height, :width]
    return (fine + 0.3 * random.standard_normal(fine.shape)).astype(np.float32)
