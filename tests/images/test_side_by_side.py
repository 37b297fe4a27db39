"""Training pairs are told from wide photos, on drawn scenes and on real ones where they are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sat2map.images.palette import Palette
from sat2map.images.pixels import read_image
from sat2map.images.side_by_side import looks_like_a_training_pair
from sat2map.synthetic.towns import draw_town

DATA = Path(__file__).parents[3] / "shared" / "data"
PALETTE = Palette.load("maps")


def photo_and_map(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    town = draw_town(seed, size=128, gsd=2.1)
    return town.source, town.target


def test_a_drawn_pair_is_found_and_its_swap_and_two_photos_are_not() -> None:
    photo, drawn = photo_and_map(0)
    other = photo_and_map(1)[0]
    assert looks_like_a_training_pair(np.hstack([photo, drawn]), PALETTE)
    assert not looks_like_a_training_pair(np.hstack([drawn, photo]), PALETTE)
    assert not looks_like_a_training_pair(np.hstack([photo, other]), PALETTE)
    assert not looks_like_a_training_pair(np.hstack([drawn, drawn]), PALETTE)
    assert not looks_like_a_training_pair(np.hstack([photo, drawn])[:, :-2], PALETTE)


@pytest.mark.parametrize("level", [0, 255])
def test_an_empty_half_is_no_map(level: int) -> None:
    photo = photo_and_map(0)[0]
    assert not looks_like_a_training_pair(np.hstack([photo, np.full_like(photo, level)]), PALETTE)


@pytest.mark.parametrize(("light", "contrast"), [(235, 0.12), (228, 0.06), (232, 0.0)])
def test_a_half_of_snow_haze_or_one_colour_is_no_map(light: int, contrast: float) -> None:
    photo = photo_and_map(0)[0]
    snow = np.clip(light + (photo.astype(float) - 128) * contrast, 0, 255).astype(np.uint8)
    assert not looks_like_a_training_pair(np.hstack([photo, snow]), PALETTE)


@pytest.mark.skipif(not (DATA / "maps").is_dir(), reason="the real pairs are not on this machine")
def test_real_pairs_are_found() -> None:
    files = sorted((DATA / "maps" / "val").glob("*.jpg"))[::4]
    missed = [file.name for file in files if not looks_like_a_training_pair(read_image(file).pixels, PALETTE)]
    assert not missed


@pytest.mark.skipif(not (DATA / "maps").is_dir(), reason="the real photos are not on this machine")
def test_real_wide_photos_raise_no_false_alarm() -> None:
    pytest.importorskip("rasterio", reason="the geo extra is not installed")
    rng = np.random.default_rng(0)
    images = [
        read_image(file).pixels[:, :600] for file in sorted((DATA / "maps" / "train").glob("*.jpg"))[::20]
    ]
    images += [read_image(file).pixels for file in (DATA / "mosaics").glob("*.png")]
    images += [read_image(file).pixels for file in (DATA / "rasters").glob("*.tif")]
    for image in images:
        for _ in range(3):
            height = int(rng.integers(64, min(image.shape[0], image.shape[1] // 2) + 1))
            top = int(rng.integers(image.shape[0] - height + 1))
            left = int(rng.integers(image.shape[1] - 2 * height + 1))
            crop = image[top : top + height, left : left + 2 * height]
            assert not looks_like_a_training_pair(crop, PALETTE)
