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


def _smooth(outputs: int, height: int, width: int) -> NDArray[np.float32]:
    """Return outputs whose largest is the same over some pixels, and changes along edges."""
    random = np.random.default_rng(1)
    coarse = random.standard_normal((outputs, height // 8 + 1, width // 8 + 1))
    fine = np.kron(coarse, np.ones((8, 8)))[:, :height, :width]
    return (fine + 0.3 * random.standard_normal(fine.shape)).astype(np.float32)
