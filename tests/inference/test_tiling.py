"""Tests of sat2map.inference.tiling."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from sat2map.inference.blending import Run, blended_blocks, fade, ramp
from sat2map.inference.tiling import MIN_OVERLAP, Area, Grid, Span, pad_to

GRIDS = [Grid(64, 32), Grid(64, 48), Grid(128, 96, 32), Grid(20, 16), Grid(96, 64, 32)]
SIZES = [(64, 64), (65, 64), (129, 97), (300, 33), (17, 301)]
LENGTHS = [1, 64, 65, 96, 97, 300, 1000]
NETWORKS = [(512, 4), (512, 64), (512, 256), (256, 256), (1024, 1024), (128, 32), (64, 64), (1, 256)]


def random_image(height: int, width: int, bands: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1, 1, (bands, height, width)).astype(np.float32)


def run_tiled(
    image: NDArray[np.float32], grid: Grid, run: Run, area: Area | None = None, margin: int = 0
) -> NDArray[np.float32]:
    """Assemble the blocks; NaN where none came."""

    def cut(rows: Span, columns: Span) -> NDArray[np.float32]:
        tile = image[:, rows.start : rows.stop, columns.start : columns.stop]
        return pad_to(tile, rows.stop - rows.start, columns.stop - columns.start)

    size = image.shape[1], image.shape[2]
    out = np.full(image.shape, np.nan, np.float32)
    for block, extra, values, _ in blended_blocks(grid, size, cut, run, area, margin=margin):
        assert values is not None
        here = out[:, block.top : block.bottom, block.left : block.right]
        assert np.isnan(here).all(), "blocks must not overlap"
        here[:] = values[:, extra[0] :, extra[1] :]
    return out


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("length", LENGTHS)
def test_tiles_cover_an_axis_and_each_finishes_its_own_part(grid: Grid, length: int) -> None:
    spans = grid.spans(length)
    assert [s.first for s in spans] == [0, *(s.last for s in spans[:-1])]
    assert spans[-1].last == length
    assert all(s.start <= s.first < s.last + s.fade <= s.stop for s in spans)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("length", LENGTHS)
def test_sides_of_all_tiles_are_multiples_of_what_the_network_takes(grid: Grid, length: int) -> None:
    assert all((s.stop - s.start) % grid.divisor == 0 for s in grid.spans(length))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("length", LENGTHS)
def test_at_most_two_tiles_meet_at_a_pixel(grid: Grid, length: int) -> None:
    weights = np.zeros(length)
    for s in grid.spans(length):
        weights[s.first : s.last + s.fade] += 1
    assert weights.max() <= 2


@pytest.mark.parametrize(("limit", "divisor"), NETWORKS)
def test_the_tile_of_a_network_is_a_multiple_within_the_limit_where_possible(
    limit: int, divisor: int
) -> None:
    grid = Grid.for_network(limit, divisor)
    assert grid.tile % divisor == 0
    assert grid.tile <= max(limit, divisor)


@pytest.mark.parametrize(("limit", "divisor"), NETWORKS)
def test_tiles_overlap_by_32_pixels_or_more(limit: int, divisor: int) -> None:
    assert Grid.for_network(limit, divisor).overlap >= MIN_OVERLAP == 32


@pytest.mark.parametrize("limit", [512, 1024])
@pytest.mark.parametrize("length", [4096, 12_288])
def test_a_network_of_stride_32_begins_its_tiles_at_multiples_of_32(limit: int, length: int) -> None:
    assert all(s.start % 32 == 0 for s in Grid.for_network(limit, 32).spans(length))


@pytest.mark.parametrize(
    ("limit", "divisor", "length", "most"),
    [(1024, 32, 4096, 1.15), (1024, 32, 12_288, 1.15), (512, 256, 3072, 1.4), (512, 256, 12_288, 1.4)],
)
def test_few_pixels_of_a_large_raster_are_computed_twice(
    limit: int, divisor: int, length: int, most: float
) -> None:
    spans = Grid.for_network(limit, divisor).spans(length)
    assert (sum(s.stop - s.start for s in spans) / length) ** 2 <= most


def test_the_ramp_is_a_hann_window_over_the_overlap() -> None:
    # scipy.signal.windows.hann(8, sym=False) sampled at half steps is sin² at (i + ½)π/16.
    expected = np.sin((np.arange(4) + 0.5) * np.pi / 8) ** 2
    np.testing.assert_allclose(ramp(4), expected, atol=1e-6)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("length", LENGTHS)
def test_the_weights_of_all_tiles_add_up_to_one(grid: Grid, length: int) -> None:
    total = np.zeros(length)
    for s in grid.spans(length):
        total[s.first : s.last + s.fade] += fade(s, grid.overlap)
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", SIZES)
def test_a_network_that_changes_nothing_gives_the_image_back(grid: Grid, size: tuple[int, int]) -> None:
    image = random_image(*size)
    np.testing.assert_allclose(run_tiled(image, grid, lambda x: x), image, atol=1e-6)


@pytest.mark.parametrize("area", [Area(0, 0, 130, 97), Area(31, 40, 32, 41), Area(60, 5, 129, 90)])
def test_an_area_has_the_values_of_the_whole_image(area: Area) -> None:
    def uneven(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return x + x.mean(dtype=np.float32)  # depends on the tile, so blending matters

    image, grid = random_image(130, 97), Grid(64, 48)
    here = np.s_[:, area.top : area.bottom, area.left : area.right]
    expected = run_tiled(image, grid, uneven)[here]
    np.testing.assert_allclose(run_tiled(image, grid, uneven, area)[here], expected, atol=1e-6)


@pytest.mark.parametrize("margin", [1, 3])
def test_the_margin_of_a_block_is_the_end_of_its_neighbours(margin: int) -> None:
    image, grid = random_image(130, 97), Grid(64, 48)

    def cut(rows: Span, columns: Span) -> NDArray[np.float32]:
        tile = image[:, rows.start : rows.stop, columns.start : columns.stop]
        return pad_to(tile, rows.stop - rows.start, columns.stop - columns.start)

    for block, extra, values, _ in blended_blocks(grid, (130, 97), cut, lambda x: x, margin=margin):
        assert values is not None
        assert extra == (margin * (block.top > 0), margin * (block.left > 0))
        expected = image[:, block.top - extra[0] : block.bottom, block.left - extra[1] : block.right]
        np.testing.assert_allclose(values, expected, atol=1e-6)


def test_a_network_of_a_small_receptive_field_gives_the_same_in_tiles() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1), nn.Tanh()
    ).requires_grad_(False)

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = network(torch.from_numpy(np.ascontiguousarray(x))).numpy()
        return out

    image, reach = random_image(208, 304, bands=3), 2
    tiled = run_tiled(image, Grid(128, 96), lambda x: run(x)[:, :3])
    levels = np.abs(tiled - run(image[None])[0, :3]) * 127.5
    # What lies within the network's reach of a tile's border saw the padding there. It hardly weighs, yet
    # the last rows and columns are the padding of one and the end of the other: they are not compared.
    assert levels[:, :-reach, :-reach].max() < 1


def test_a_tile_with_nothing_in_it_is_not_run_and_leaves_its_block_empty() -> None:
    image, grid, runs = random_image(64, 160), Grid(64, 48), []

    def cut(rows: Span, columns: Span) -> NDArray[np.float32] | None:
        return None if columns.start == 48 else image[:, :, columns.start : columns.stop]

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        runs.append(x)
        return x

    blocks = list(blended_blocks(grid, (64, 160), cut, run))
    assert [block.values is None for block in blocks] == [False, True, False]
    assert len(runs) == 2


def test_padding_reflects_and_keeps_the_image_in_the_corner() -> None:
    image = random_image(3, 4)
    padded = pad_to(image, 5, 6)
    np.testing.assert_array_equal(padded, np.pad(image, ((0, 0), (0, 2), (0, 2)), mode="reflect"))
    np.testing.assert_array_equal(padded[:, :3, :4], image)


def test_an_image_can_be_padded_by_more_than_its_size() -> None:
    padded = pad_to(np.arange(3, dtype=np.float32).reshape(1, 1, 3).repeat(2, axis=1), 2, 8)
    assert padded[0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]


def test_the_network_runs_on_the_next_tile_while_a_block_is_used() -> None:
    image, grid = random_image(64, 300), Grid(64, 48)
    begun = [threading.Event() for _ in grid.spans(300)]
    calls = iter(begun)

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        next(calls).set()
        return batch

    def cut(rows: Span, columns: Span) -> NDArray[np.float32]:
        return pad_to(image[:, :, columns.start : columns.stop], 64, columns.stop - columns.start)

    blocks = blended_blocks(grid, (64, 300), cut, run)
    for block, following in zip(blocks, begun[1:], strict=False):
        assert following.wait(60), f"nothing runs while {block.area} is used"
