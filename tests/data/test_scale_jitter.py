"""Tests of sat2map.data.scale_jitter: crops at another scale, of images and of label maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from sat2map.data.scale_jitter import Window, cut_windows, draw_windows


def a_pair(side: int = 48) -> torch.Tensor:
    """Return uint8 (side, side, 4): three bands and a label map."""
    return torch.randint(256, (side, side, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def windows(count: int, crop: int, factors: tuple[float, float], side: int = 100) -> list[Window]:
    generator = torch.Generator().manual_seed(0)
    return draw_windows(count, side, side, crop, factors, "symmetries", generator)


def test_windows_lie_in_the_image_and_their_sides_in_the_range() -> None:
    drawn = windows(400, 40, (0.5, 2.0))
    assert all(20 <= w.side <= 80 and w.top + w.side <= 100 and w.left + w.side <= 100 for w in drawn)
    octaves = np.log2([w.side / 40 for w in drawn])
    assert octaves.mean() == pytest.approx(0, abs=0.1)
    assert octaves.min() < -0.9 < 0.9 < octaves.max()


def test_all_eight_symmetries_are_drawn() -> None:
    assert len({w[3:] for w in windows(200, 40, (1.0, 1.0))}) == 8


def test_a_window_is_never_larger_than_the_image() -> None:
    assert max(w.side for w in windows(100, 80, (0.7, 1.5))) == 100


def test_without_a_change_of_scale_a_window_is_the_pixels_themselves() -> None:
    pair = a_pair()
    images, labels = cut_windows([pair], [Window(16, 3, 5, False, False, False)], 16, labels=True)
    assert labels is not None
    assert torch.equal(((images[0] + 1) * 127.5).round().byte().permute(1, 2, 0), pair[3:19, 5:21, :3])
    assert torch.equal(labels[0], pair[3:19, 5:21, 3].long())


def test_a_window_is_turned_as_numpy_turns_it() -> None:
    pair = a_pair()
    _, labels = cut_windows([pair], [Window(16, 0, 0, True, True, True)], 16, labels=True)
    assert labels is not None
    expected = pair[:16, :16, 3].numpy()[::-1, ::-1].T
    np.testing.assert_array_equal(labels[0].numpy(), expected)


@pytest.mark.parametrize("side", [20, 30])
def test_a_smaller_scale_averages_as_pillow_does(side: int) -> None:
    pair = a_pair()
    images, _ = cut_windows([pair], [Window(side, 2, 4, False, False, False)], 12, labels=True)
    window = Image.fromarray(pair[2 : 2 + side, 4 : 4 + side, :3].numpy())
    expected = np.asarray(window.resize((12, 12), Image.Resampling.BILINEAR), float)
    found = (images[0].permute(1, 2, 0).numpy() + 1) * 127.5
    np.testing.assert_allclose(found, expected, atol=1.001)  # Pillow rounds twice
    assert np.abs(found - expected).mean() < 0.2


def test_labels_are_never_mixed() -> None:
    pair = a_pair()
    pair[..., 3] = torch.where(pair[..., 3] > 127, 9, 255).byte()
    _, labels = cut_windows([pair], [Window(21, 0, 0, False, False, False)], 32, labels=True)
    assert labels is not None
    assert set(labels.unique().tolist()) == {9, 255}


def test_without_labels_all_bands_are_images() -> None:
    images, labels = cut_windows([a_pair()], [Window(16, 0, 0, False, False, False)], 16, labels=False)
    assert images.shape == (1, 4, 16, 16)
    assert labels is None
