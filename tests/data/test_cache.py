"""Tests of sat2map.data.cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sat2map.data import cache
from sat2map.data.cache import open_pairs
from sat2map.data.pair_cache import PairCache, PairFormat
from sat2map.data.pairs import Pair, find_pairs
from sat2map.data.read_pair import read_pair
from sat2map.errors import DataError, ImageError, OutputError
from sat2map.files import cache_folder
from sat2map.images.palette import Palette
from sat2map.images.pixels import resize


def open_cache(pairs: Sequence[Pair], size: int | None = None, *, workers: int = 0, **how: Any) -> PairCache:
    return open_pairs(pairs, PairFormat(size, **how), workers=workers)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAT2MAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for i in range(5):
        image = rng.integers(0, 256, (24, 48, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "data" / f"{i}.png")
    return [Pair(str(i), tmp_path / "data" / f"{i}.png", None, f"place {i % 2}") for i in range(5)]


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("size", [16, 24, 32])
def test_the_cache_equals_direct_reading(folder: Path, pairs: list[Pair], size: int) -> None:
    opened = open_cache(pairs, size)
    assert opened.pixels.shape == (5, size, size, 6)
    assert opened.pixels.dtype == np.uint8
    for i, pair in enumerate(pairs):
        source, target = read_pair(pair)
        np.testing.assert_array_equal(opened.sources[i], resize(source, size, size))
        np.testing.assert_array_equal(opened.targets[i], resize(target, size, size))


def test_names_and_groups_are_kept_in_order(folder: Path, pairs: list[Pair]) -> None:
    opened = open_cache([*pairs[:2], Pair("alone", pairs[2].source, None)], 16)
    assert opened.names == ["0", "1", "alone"]
    assert opened.groups == ["place 0", "place 1", "alone"]
    assert len(opened) == 3


def test_the_other_direction_swaps_sources_and_targets(folder: Path, pairs: list[Pair]) -> None:
    forth, back = open_cache(pairs, 16), open_cache(pairs, 16, direction="target-to-source")
    np.testing.assert_array_equal(forth.sources, back.targets)
    np.testing.assert_array_equal(forth.targets, back.sources)


@pytest.mark.parametrize("direction", ["source-to-target", "target-to-source"])
def test_bands_stay_with_their_side(folder: Path, tmp_path: Path, direction: str) -> None:
    rgb, grey = tmp_path / "rgb.png", tmp_path / "grey.png"
    Image.new("RGB", (8, 8), (1, 2, 3)).save(rgb)
    Image.new("L", (8, 8), 9).save(grey)
    opened = open_cache([Pair("x", rgb, grey)], 8, direction=direction, bands=(3, 1))
    sides = [opened.sources[0, 0, 0].tolist(), opened.targets[0, 0, 0].tolist()]
    assert sides == ([[1, 2, 3], [9]] if direction == "source-to-target" else [[9], [1, 2, 3]])


def test_the_cache_is_a_memory_map_that_is_used_again(folder: Path, pairs: list[Pair]) -> None:
    first = open_cache(pairs, 16)
    assert isinstance(first.pixels, np.memmap)
    before = only_file(folder).stat()
    assert open_cache(pairs, 16).fingerprint == first.fingerprint
    assert only_file(folder).stat().st_mtime_ns == before.st_mtime_ns
    assert only_file(folder).stat().st_ino == before.st_ino


def test_changing_the_array_does_not_change_the_cache(folder: Path, pairs: list[Pair]) -> None:
    first = open_cache(pairs, 16)
    before = np.array(first.pixels)
    first.pixels[:] = 0
    np.testing.assert_array_equal(open_cache(pairs, 16).pixels, before)


def test_a_file_with_new_content_makes_a_new_cache(folder: Path, pairs: list[Pair]) -> None:
    old = open_cache(pairs, 16)
    times = pairs[3].source.stat()
    Image.new("RGB", (48, 24), (7, 7, 7)).save(pairs[3].source)
    os.utime(pairs[3].source, ns=(times.st_atime_ns, times.st_mtime_ns))
    new = open_cache(pairs, 16)
    assert new.fingerprint != old.fingerprint
    assert np.unique(new.pixels[3]).tolist() == [7]
    np.testing.assert_array_equal(new.pixels[:3], old.pixels[:3])


def test_the_fingerprint_depends_on_all_that_decides_the_content(folder: Path, pairs: list[Pair]) -> None:
    seen = {
        open_cache(pairs, 16).fingerprint,
        open_cache(pairs, 24).fingerprint,
        open_cache(pairs[::-1], 16).fingerprint,
        open_cache(pairs[:4], 16).fingerprint,
        open_cache(pairs, 16, direction="target-to-source").fingerprint,
    }
    assert len(seen) == 5


def test_the_fingerprint_does_not_depend_on_where_the_files_lie(
    folder: Path, pairs: list[Pair], tmp_path: Path
) -> None:
    before = open_cache(pairs, 16).fingerprint
    (tmp_path / "data").rename(tmp_path / "moved")
    moved: Sequence[Pair] = [
        Pair(pair.name, tmp_path / "moved" / pair.source.name, None, pair.group) for pair in pairs
    ]
    assert open_cache(moved, 16).fingerprint == before


def test_any_number_of_workers_gives_the_same_cache(folder: Path, pairs: list[Pair]) -> None:
    one = np.array(open_cache(pairs, 16, workers=1).pixels)
    only_file(folder).unlink()
    np.testing.assert_array_equal(open_cache(pairs, 16, workers=3).pixels, one)


def test_two_processes_that_start_at_once_both_get_whole_caches(folder: Path, pairs: list[Pair]) -> None:
    program = (
        "import hashlib, sys; from pathlib import Path\n"
        "from sat2map.data.cache import open_pairs; from sat2map.data.pair_cache import PairFormat\n"
        "from sat2map.data.pairs import Pair\n"
        "pairs = [Pair(Path(name).stem, Path(name), None) for name in sys.argv[1:]]\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(hashlib.sha256(open_pairs(pairs, PairFormat(256)).pixels.tobytes()).hexdigest())\n"
    )
    command = [sys.executable, "-c", program, *(str(pair.source) for pair in pairs)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1] != ""
    assert only_file(folder).suffix == ".npy"


def test_mixed_sizes_are_refused_and_leave_nothing(folder: Path, pairs: list[Pair]) -> None:
    Image.new("RGB", (60, 24)).save(pairs[3].source)
    with pytest.raises(DataError, match=r"mixed sizes: .*0\.png is 24.24 px a side, .*3\.png is 30.24;"):
        open_cache(pairs, 16)
    assert list(folder.iterdir()) == []


def test_a_damaged_image_is_named_and_leaves_nothing(folder: Path, pairs: list[Pair]) -> None:
    content = pairs[2].source.read_bytes()
    pairs[2].source.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"2\.png cannot be decoded"):
        open_cache(pairs, 16)
    assert list(folder.iterdir()) == []


def test_a_missing_image_is_named(folder: Path, pairs: list[Pair]) -> None:
    pairs[2].source.unlink()
    with pytest.raises(ImageError, match=r"2\.png cannot be read: No such file"):
        open_cache(pairs, 16)


def test_a_full_disk_is_found_before_the_cache_is_written(
    folder: Path, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    def claim(path: Path) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(cache, "_claim", claim)
    with pytest.raises(OutputError, match="the disk is full"):
        open_cache(pairs, 16)
    assert list(folder.iterdir()) == []


def test_a_cache_folder_that_cannot_be_made_is_one_sentence(folder: Path, pairs: list[Pair]) -> None:
    folder.write_text("a file is in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        open_cache(pairs, 16)


def test_the_cache_lies_in_the_users_cache_folder_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAT2MAP_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("SAT2MAP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/sat2map")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    assert cache_folder() == Path("/home/ada/.cache/sat2map")


def test_pairs_of_the_maps_data_set_are_cached_as_they_are_read(folder: Path, maps_data: Path) -> None:
    chosen = find_pairs(maps_data)["val"][:3]
    opened = open_cache(chosen, 128)
    for i, pair in enumerate(chosen):
        np.testing.assert_array_equal(opened.targets[i], resize(read_pair(pair)[1], 128, 128))


MAPS = Palette.load("maps")


def test_label_maps_are_the_nearest_palette_colours_of_the_targets(folder: Path, pairs: list[Pair]) -> None:
    opened = open_pairs(pairs, PairFormat(palette=MAPS))
    assert opened.pixels.shape == (5, 24, 24, 7)
    for i, pair in enumerate(pairs):
        np.testing.assert_array_equal(
            MAPS.class_of_colour[opened.labels[i]], MAPS.classify(read_pair(pair)[1])
        )


def test_without_targets_only_their_labels_are_kept(folder: Path, pairs: list[Pair]) -> None:
    whole, slim = (
        open_pairs(pairs, PairFormat(24, palette=MAPS, targets=targets)) for targets in (True, False)
    )
    assert slim.pixels.shape == (5, 24, 24, 4)
    np.testing.assert_array_equal(slim.labels, whole.labels)
    np.testing.assert_array_equal(slim.sources, whole.sources)
    assert slim.fingerprint == whole.fingerprint == open_cache(pairs, 24).fingerprint


def test_without_a_size_pairs_are_kept_as_they_are(folder: Path, pairs: list[Pair]) -> None:
    opened = open_cache(pairs)
    for i, pair in enumerate(pairs):
        np.testing.assert_array_equal(opened.sources[i], read_pair(pair)[0])


def test_without_a_size_mixed_sizes_are_refused(folder: Path, pairs: list[Pair], tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "small.png")
    with pytest.raises(DataError, match=r"mixed sizes: .* is 24×24 px a side, .*small\.png is 10×10"):
        open_cache([*pairs, Pair("small", tmp_path / "small.png", None)])


def test_transparent_pixels_of_either_side_are_ignored(folder: Path, tmp_path: Path) -> None:
    both = np.full((8, 16, 4), 255, np.uint8)
    both[:4, :4, 3] = 0  # of the source
    both[4:, 12:, 3] = 0  # of the target
    Image.fromarray(both).save(tmp_path / "pair.png")
    (labels,) = open_pairs([Pair("x", tmp_path / "pair.png", None)], PairFormat(None, palette=MAPS)).labels
    ignored = np.zeros((8, 8), bool)
    ignored[:4, :4] = ignored[4:, 4:] = True
    np.testing.assert_array_equal(labels == 255, ignored)


@pytest.mark.parametrize("size", [8, 13, 40])
def test_no_colour_of_ignored_pixels_is_mixed_into_the_labels_of_a_resized_pair(
    folder: Path, tmp_path: Path, size: int
) -> None:
    water = MAPS.classes[MAPS.names.index("water")].colours[0]
    both = np.full((24, 48, 4), (*water, 255), np.uint8)
    both[:9, 24:37] = 0  # black below its transparency
    Image.fromarray(both).save(tmp_path / "pair.png")
    (labels,) = open_pairs([Pair("x", tmp_path / "pair.png", None)], PairFormat(size, palette=MAPS)).labels
    numbers = set(np.unique(labels)) - {255}
    plain = np.full((24, 48, 3), water, np.uint8)
    Image.fromarray(plain).save(tmp_path / "plain.png")
    (all_water,) = open_pairs(
        [Pair("y", tmp_path / "plain.png", None)], PairFormat(size, palette=MAPS)
    ).labels
    assert numbers == set(np.unique(all_water))
    assert 9 * 13 / 24**2 <= (labels == 255).mean() <= (9 + 5) * (13 + 5) / 24**2
