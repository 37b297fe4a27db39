"""Tests of sat2map.inference.tiling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from sat2map.inference.tiling import MIN_OVERLAP, Grid, pad_to, ramp, tiles, translate_tiled

GRIDS = [Grid(64, 32), Grid(64, 48), Grid(128, 96), Grid(20, 10)]
SIZES = [(64, 64), (65, 64), (129, 97), (300, 33), (17, 301)]
NETWORKS = [(512, 4), (512, 64), (512, 256), (256, 256), (1024, 1024), (128, 32), (64, 64), (1, 256)]


def random_image(height: int, width: int, bands: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1, 1, (bands, height, width)).astype(np.float32)


def nothing() -> None: ...


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", SIZES)
def test_the_tiles_cover_every_pixel(grid: Grid, size: tuple[int, int]) -> None:
    covered = np.zeros(size, int)
    for top, left in tiles(grid, *size):
        covered[top : top + grid.tile, left : left + grid.tile] += 1
    assert covered.min() >= 1


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("length", [1, 64, 65, 96, 97, 300, 1000])
def test_no_tile_lies_outside_the_picture_or_adds_nothing_to_it(grid: Grid, length: int) -> None:
    starts = grid.starts(length)
    assert starts[-1] < length
    if len(starts) > 1:
        assert starts[-2] + grid.tile < length


@pytest.mark.parametrize("grid", GRIDS)
def test_the_grid_is_anchored_so_that_a_longer_picture_keeps_the_tiles_of_a_shorter_one(grid: Grid) -> None:
    longer = list(grid.starts(1000))
    for length in range(1, 1000, 37):
        starts = list(grid.starts(length))
        assert starts == longer[: len(starts)]


@pytest.mark.parametrize(("limit", "multiple"), NETWORKS)
def test_a_networks_tile_is_a_multiple_that_it_takes(limit: int, multiple: int) -> None:
    assert Grid.for_network(limit, multiple).tile % multiple == 0


@pytest.mark.parametrize(("limit", "multiple"), NETWORKS)
def test_a_networks_tile_is_within_its_limit_where_the_network_allows(limit: int, multiple: int) -> None:
    assert Grid.for_network(limit, multiple).tile <= max(limit, multiple)


@pytest.mark.parametrize(("limit", "multiple"), NETWORKS)
def test_tiles_overlap_by_32_pixels_or_more(limit: int, multiple: int) -> None:
    grid = Grid.for_network(limit, multiple)
    assert grid.tile - grid.stride >= MIN_OVERLAP == 32


@pytest.mark.parametrize(("limit", "multiple"), NETWORKS)
def test_at_most_two_tiles_meet_along_an_axis(limit: int, multiple: int) -> None:
    grid = Grid.for_network(limit, multiple)
    assert grid.stride >= grid.tile // 2


@pytest.mark.parametrize(("limit", "multiple"), [(512, 4), (512, 64), (512, 256), (128, 32)])
def test_the_stride_is_a_multiple_too_where_that_leaves_overlap_enough(limit: int, multiple: int) -> None:
    assert Grid.for_network(limit, multiple).stride % multiple == 0


@pytest.mark.parametrize("grid", GRIDS)
def test_the_ramps_of_neighbours_add_up_to_one(grid: Grid) -> None:
    weights = ramp(grid.tile, grid.stride)
    overlap = grid.tile - grid.stride
    np.testing.assert_allclose(weights[:overlap] + weights[grid.stride :], 1, atol=1e-6)


def test_the_ramp_is_a_hann_window_over_the_overlap() -> None:
    # scipy.signal.windows.hann(8, sym=False) sampled at half steps is sin² at (i + ½)π/16.
    expected = np.sin((np.arange(4) + 0.5) * np.pi / 8) ** 2
    np.testing.assert_allclose(ramp(10, 6)[:4], expected, atol=1e-6)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", SIZES)
def test_a_network_that_changes_nothing_gives_the_image_back(grid: Grid, size: tuple[int, int]) -> None:
    image = random_image(*size)
    np.testing.assert_allclose(translate_tiled(image, grid, lambda x: x, nothing), image, atol=1e-6)


def test_a_network_of_a_small_receptive_field_gives_the_same_in_tiles() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1), nn.Tanh()
    ).requires_grad_(False)

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = network(torch.from_numpy(np.ascontiguousarray(x))).numpy()
        return out

    image, grid, reach = random_image(208, 304), Grid(128, 96), 2
    tiled, whole = translate_tiled(image, grid, run, nothing), run(image[None])[0]
    levels = np.abs(tiled - whole) * 127.5
    # What lies within the network's reach of a tile's border saw the padding there. It hardly weighs, yet
    # the last rows and columns are the padding of one and the end of the other: they are not compared.
    assert levels[:, :-reach, :-reach].max() < 1


def test_every_tile_is_told() -> None:
    told: list[int] = []
    translate_tiled(random_image(129, 97), Grid(64, 48), lambda x: x, lambda: told.append(1))
    assert len(told) == 3 * 2


def test_padding_reflects_and_keeps_the_image_in_the_corner() -> None:
    image = random_image(3, 4)
    padded = pad_to(image, 5, 6)
    np.testing.assert_array_equal(padded, np.pad(image, ((0, 0), (0, 2), (0, 2)), mode="reflect"))
    np.testing.assert_array_equal(padded[:, :3, :4], image)


def test_an_image_can_be_padded_by_more_than_its_size() -> None:
    padded = pad_to(np.arange(3, dtype=np.float32).reshape(1, 1, 3).repeat(2, axis=1), 2, 8)
    assert padded[0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
