"""Pairs of more bands than three, and of two: read as they are stored, or refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sat2map.data.pairs import Pair
from sat2map.data.read_pair import pair_notes, read_pair
from sat2map.errors import ImageError

rasterio = pytest.importorskip("rasterio")


def _tif(path: Path, values, **options) -> Path:
    names = options.pop("names", None)
    form = {"driver": "GTiff", "count": len(values), "height": values.shape[1], "width": values.shape[2]}
    with rasterio.open(path, "w", dtype=values.dtype, **form, **options) as file:
        file.write(values)
        if names:
            file.descriptions = names
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def target(tmp_path, rng):
    path = tmp_path / "target.png"
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("count", [2, 4, 6])
def test_a_source_of_any_number_of_bands_is_read_as_it_is(tmp_path, rng, target, count):
    values = rng.integers(0, 256, (count, 8, 8), np.uint8)
    path = _tif(tmp_path / "source.tif", values, photometric="MINISBLACK", alpha="NO")
    source, _ = read_pair(Pair("x", path, target), bands=(count, 3))
    np.testing.assert_array_equal(source, np.moveaxis(values, 0, -1))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_named_bands_are_put_in_the_models_order(tmp_path, rng, target):
    values = rng.integers(0, 256, (4, 8, 8), np.uint8)
    names = ("nir", "blue", "green", "red")
    path = _tif(tmp_path / "source.tif", values, names=names, photometric="MINISBLACK", alpha="NO")
    source, _ = read_pair(Pair("x", path, target), bands=(4, 3))
    np.testing.assert_array_equal(source, np.moveaxis(values[[3, 2, 1, 0]], 0, -1))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_too_few_bands_are_refused(tmp_path, rng, target):
    path = _tif(tmp_path / "source.tif", rng.integers(0, 256, (4, 8, 8), np.uint8), alpha="NO")
    with pytest.raises(ImageError, match=r"source\.tif has 4 bands where 5 are needed"):
        read_pair(Pair("x", path, target), bands=(5, 3))
    with pytest.raises(ImageError, match=r"target\.png has 3 bands where 4 are needed"):
        read_pair(Pair("x", path, target), bands=(4, 4))


def test_grey_is_repeated_to_three_bands_and_to_no_other_number(tmp_path, rng, target):
    grey = tmp_path / "grey.png"
    Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(grey)
    source, _ = read_pair(Pair("x", grey, target), bands=(3, 3))
    assert (source == source[..., :1]).all()
    for bands in (2, 4):
        with pytest.raises(ImageError, match=f"has 1 band where {bands} are needed"):
            read_pair(Pair("x", grey, target), bands=(bands, 3))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_both_halves_of_a_side_by_side_file_have_the_bands_that_are_asked_for(tmp_path, rng):
    values = rng.integers(0, 256, (4, 8, 16), np.uint8)
    path = _tif(tmp_path / "pair.tif", values, photometric="MINISBLACK", alpha="NO")
    source, target = read_pair(Pair("x", path, None), bands=(4, 3))
    np.testing.assert_array_equal(source, np.moveaxis(values[:, :, :8], 0, -1))
    np.testing.assert_array_equal(target, np.moveaxis(values[:3, :, 8:], 0, -1))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_class_numbers_of_more_than_8_bits_are_refused_as_targets(tmp_path, rng, dtype):
    source = tmp_path / "source.png"
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(source)
    numbers = tmp_path / "numbers.tif"
    Image.fromarray(rng.integers(0, 9, (8, 8)).astype(dtype)).save(numbers)
    with pytest.raises(ImageError, match=r"numbers\.tif holds numbers of more than 8 bits"):
        read_pair(Pair("x", source, numbers))


def test_what_is_assumed_of_the_sources_is_told(tmp_path, rng, target):
    deep = tmp_path / "deep.tif"
    Image.fromarray(rng.integers(0, 9000, (8, 8)).astype("uint16")).save(deep)
    (note,) = pair_notes(Pair("x", deep, target))
    assert note.startswith(f"{deep} holds uint16: its percentiles 2 and 98")
    assert "setting" not in note
    assert pair_notes(Pair("x", target, target)) == []
