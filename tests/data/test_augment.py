"""Tests of sat2map.data.augment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sat2map.data.augment import augment, jitter_colors
from sat2map.settings import Augment

KINDS: tuple[Augment, ...] = ("none", "flip", "symmetries")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def positions(n: int, height: int, width: int) -> torch.Tensor:
    """Return pictures (n, height, width, 2) in which every pixel holds its own row and column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns], dim=-1).to(torch.uint8).expand(n, -1, -1, -1)


def symmetries(a: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the eight symmetries of a square picture, by numpy."""
    return [np.rot90(b, turns) for b in (a, np.fliplr(a)) for turns in range(4)]


def symmetry_of(result: NDArray[np.uint8]) -> int:
    """Say which symmetry (0 to 7) of a crop of `positions` this is; fail where it is none."""
    crop = len(result)
    top, left = result.reshape(-1, 2).min(axis=0)
    original = positions(1, 256, 256)[0, top : top + crop, left : left + crop].numpy()
    (which,) = (i for i, turned in enumerate(symmetries(original)) if np.array_equal(turned, result))
    return which


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 4),
    height=st.integers(2, 12),
    width=st.integers(2, 12),
    bands=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_what_happens_to_the_source_happens_to_the_target(
    kind: Augment, n: int, height: int, width: int, bands: int, seed: int, data: st.DataObject
) -> None:
    crop = data.draw(st.integers(1, min(height, width)))
    source = torch.randint(256, (n, height, width, bands), dtype=torch.uint8, generator=seeded(seed))
    result = augment(torch.cat([source, source], dim=-1), crop, kind, seeded(seed))
    assert result.shape == (n, crop, crop, 2 * bands)
    assert result.dtype == torch.uint8
    assert torch.equal(result[..., :bands], result[..., bands:])


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(KINDS), crop=st.integers(2, 9), seed=st.integers(0, 2**32))
def test_a_result_is_one_of_the_eight_symmetries_of_a_crop(kind: Augment, crop: int, seed: int) -> None:
    for result in augment(positions(3, 9, 11), crop, kind, seeded(seed)).numpy():
        assert symmetry_of(result) in range(8)


@pytest.mark.parametrize(
    ("kind", "expected"), [("none", {0}), ("flip", {0, 4}), ("symmetries", set(range(8)))]
)
def test_each_kind_draws_all_of_its_symmetries(kind: Augment, expected: set[int]) -> None:
    results = augment(positions(200, 9, 11), 4, kind, seeded()).numpy()
    counts = np.bincount([symmetry_of(result) for result in results], minlength=8)
    assert set(np.flatnonzero(counts)) == expected
    share = 200 / len(expected)
    assert all(abs(counts[i] - share) < 5 * share**0.5 for i in expected)


def test_crops_come_from_everywhere() -> None:
    results = augment(positions(400, 7, 6), 4, "none", seeded())
    corners = {(int(row), int(column)) for row, column in results[:, 0, 0]}
    assert corners == {(row, column) for row in range(4) for column in range(3)}


@pytest.mark.parametrize("kind", KINDS)
def test_each_result_comes_from_its_own_pair(kind: Augment) -> None:
    pairs = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 8, 8, 2)
    assert torch.equal(augment(pairs, 4, kind, seeded()), pairs[:, :4, :4])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same(kind: Augment) -> None:
    pairs = positions(8, 20, 20)
    assert torch.equal(augment(pairs, 9, kind, seeded(3)), augment(pairs, 9, kind, seeded(3)))
    assert not torch.equal(augment(pairs, 9, kind, seeded(3)), augment(pairs, 9, kind, seeded(4)))


def test_a_crop_of_the_whole_picture_without_symmetries_is_the_picture() -> None:
    pairs = positions(2, 9, 9)
    assert torch.equal(augment(pairs, 9, "none", seeded()), pairs)


# colours


def test_jitter_keeps_shape_and_range() -> None:
    source = torch.rand(6, 3, 5, 7, generator=seeded()) * 2 - 1
    jittered = jitter_colors(source, 0.5, seeded())
    assert jittered.shape == source.shape
    assert jittered.dtype == torch.float32
    assert float(jittered.min()) >= -1
    assert float(jittered.max()) <= 1
    assert not torch.equal(jittered, source)


def test_no_jitter_is_the_image_itself() -> None:
    source = torch.rand(2, 3, 4, 4)
    assert jitter_colors(source, 0.0, seeded()) is source


def test_jitter_differs_by_image_and_band_and_is_the_same_everywhere_in_it() -> None:
    source = torch.full((4, 3, 5, 5), 0.1)
    jittered = jitter_colors(source, 0.2, seeded())
    assert len(jittered.unique()) == 12
    assert torch.equal(jittered, jittered[:, :, :1, :1].expand(-1, -1, 5, 5))


def test_jitter_is_a_gain_and_an_offset_within_the_strength() -> None:
    values = torch.tensor([-0.2, 0.0, 0.2]).view(1, 1, 1, 3).expand(500, 3, 1, 3)
    low, middle, high = jitter_colors(values, 0.3, seeded()).unbind(-1)
    gain, offset = (high - low) / 0.4, middle
    torch.testing.assert_close((high + low) / 2, middle)
    for drawn, centre in ((gain, 1.0), (offset, 0.0)):
        assert float((drawn - centre).abs().max()) <= 0.3 + 1e-6
        assert float((drawn - centre).abs().max()) > 0.2
