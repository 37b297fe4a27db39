"""Tests of sat2map.inference.resample, with Pillow as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sat2map.inference.blending import Block, blended_blocks
from sat2map.inference.resample import Resampling
from sat2map.inference.tiling import Area, Grid, Span, pad_to

SIZES = [((97, 120), (291, 377)), ((97, 120), (40, 50)), ((97, 120), (97, 200)), ((64, 64), (192, 64))]


def random_outputs(size: tuple[int, int]) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(4, *size)).astype(np.float32)


def whole(values: NDArray[np.float32]) -> Block:
    return Block(Area(0, 0, *values.shape[1:]), (0, 0), values)


@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_it_is_pillows_bilinear_filter(inputs: tuple[int, int], outputs: tuple[int, int]) -> None:
    values = random_outputs(inputs)
    expected = [
        np.asarray(Image.fromarray(band).resize(outputs[::-1], Image.Resampling.BILINEAR)) for band in values
    ]
    found = Resampling.between(inputs, outputs).apply(whole(values), Area(0, 0, *outputs))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
@pytest.mark.parametrize("part", [(0.0, 1.0), (0.1, 0.9), (0.5, 0.51)])
def test_blocks_give_what_the_whole_gives(
    inputs: tuple[int, int], outputs: tuple[int, int], part: tuple[float, float]
) -> None:
    values, grid = random_outputs(inputs), Grid(64, 48)
    resampling = Resampling.between(inputs, outputs)
    edges = [int(share * side) + (share > part[0]) for share in part for side in outputs]
    wanted = Area(edges[0], edges[1], min(edges[2], outputs[0]), min(edges[3], outputs[1]))

    def cut(rows: Span, columns: Span) -> NDArray[np.float32]:
        tile = values[:, rows.start : rows.stop, columns.start : columns.stop]
        return pad_to(tile, rows.stop - rows.start, columns.stop - columns.start)

    found = np.full((4, *outputs), np.nan, np.float32)
    needed = resampling.needed(wanted)
    for block in blended_blocks(grid, inputs, cut, lambda x: x, needed, margin=resampling.margin):
        area = resampling.finished_by(block.area, wanted)
        if area.height and area.width:
            found[:, area.top : area.bottom, area.left : area.right] = resampling.apply(block, area)
    here = np.s_[:, wanted.top : wanted.bottom, wanted.left : wanted.right]
    expected = resampling.apply(whole(values), Area(0, 0, *outputs))
    np.testing.assert_allclose(found[here], expected[here], atol=1e-5)


def test_equal_sizes_change_nothing() -> None:
    values = random_outputs((31, 33))
    found = Resampling.between((31, 33), (31, 33)).apply(whole(values), Area(3, 4, 20, 30))
    np.testing.assert_array_equal(found, values[:, 3:20, 4:30])
