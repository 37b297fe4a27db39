"""One stretch for the files of a job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("rasterio", reason="the geo extra is not installed")

from sat2map.errors import SettingsError
from sat2map.images.read import has_deep_samples, read_image
from sat2map.images.shared_limits import FILES, SharedLimits, evenly, measure_shared_limits

RAMP = np.tile(np.linspace(200, 9000, 240).astype(np.uint16), (60, 1))


def _halves(folder: Path) -> list[Path]:
    paths = [folder / "west.png", folder / "east.png"]
    for path, half in zip(paths, np.hsplit(RAMP, 2), strict=True):
        Image.fromarray(np.ascontiguousarray(half)).save(path)
    return paths


def test_two_halves_of_an_image_are_stretched_like_the_whole(tmp_path: Path) -> None:
    paths = _halves(tmp_path)
    stretch, deep = measure_shared_limits(paths)
    levels = np.hstack([read_image(path, stretch=stretch).pixels for path in paths])[:, :, 0]
    low, high = np.percentile(RAMP, (2, 98))
    expected = np.rint(np.clip((RAMP - low) / (high - low), 0, 1) * 255)
    np.testing.assert_array_equal(levels, expected)
    assert deep == paths


def test_a_note_names_the_limits_once_for_all_files(tmp_path: Path) -> None:
    paths = _halves(tmp_path)
    stretch, deep = measure_shared_limits(paths)
    low, high = np.percentile(RAMP, (2, 98))
    (note,) = stretch.notes(len(deep))
    assert note.startswith(
        f"2 inputs hold uint16: percentiles 2 and 98 of all of it ({low:.6g} to {high:.6g})"
    )
    assert read_image(paths[0], stretch=stretch).notes == ()


def test_a_file_of_other_units_that_would_be_flat_is_named() -> None:
    shared = SharedLimits()
    values = np.linspace(0, 1, 100, dtype=np.float32).reshape(1, 10, 10)
    for name, factor in (("reflectance.tif", 1), ("digital.tif", 10_000)):
        shared.add(values * factor, None, name)
    assert "reflectance.tif would show fewer than 8 grey levels" in shared.notes(2)[1]
    assert len(shared.notes(2)) == 2


def test_pixels_that_are_not_valid_do_not_count() -> None:
    shared = SharedLimits()
    values = np.arange(100, dtype=np.float32).reshape(1, 10, 10)
    shared.add(values, values[0] < 50, "a")
    assert shared.all() == [(tuple(np.percentile(np.arange(50), (2, 98))),)]


@pytest.mark.parametrize("scale", [(0, 1000), (0, 1000, 100, 500, 0, 255)])
def test_given_limits_hold_for_images_of_8_and_of_16_bits(tmp_path: Path, scale: tuple[float, ...]) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    pairs = [scale[i : i + 2] for i in range(0, len(scale), 2)] * (3 if len(scale) == 2 else 1)
    expected = np.stack(
        [
            np.rint(np.clip((pixels[..., i].astype(float) - low) / (high - low), 0, 1) * 255)
            for i, (low, high) in enumerate(pairs)
        ],
        axis=-1,
    )
    assert np.abs(read_image(tmp_path / "a.png", scale=scale).pixels - expected).max() <= 1
    Image.fromarray(RAMP).save(tmp_path / "deep.png")
    grey = read_image(tmp_path / "deep.png", scale=(200, 9000)).pixels[0, :, 0]
    assert (grey[0], grey[-1]) == (0, 255)


def test_limits_that_run_downwards_are_refused_for_images(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "deep.png")
    with pytest.raises(SettingsError, match="the scale is 9,1"):
        read_image(tmp_path / "deep.png", scale=(9, 1))


def test_the_header_tells_which_files_are_measured(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "deep.png")
    Image.fromarray(RAMP).save(tmp_path / "deep.tif")
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "plain.png")
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "plain.jpg")
    deep = [has_deep_samples(tmp_path / name) for name in ("deep.png", "deep.tif", "plain.png", "plain.jpg")]
    assert deep == [True, True, False, False]


def test_of_many_files_the_first_the_last_and_some_between_are_measured() -> None:
    numbers = evenly(range(10_000))
    assert (len(numbers), numbers[0], numbers[-1]) == (FILES, 0, 9999)
    assert evenly(range(3)) == [0, 1, 2]
