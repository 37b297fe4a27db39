"""The doctor of data sets: one drawn data set for each fault, and none for a healthy one."""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from sat2map.data.check.validate import CheckResult, Finding, check, print_result
from sat2map.errors import DataError

SIDE = 64
MAP_COLOURS = np.array([[232, 229, 223], [254, 254, 254], [203, 223, 172], [177, 208, 254]], np.uint8)
MAPS = Path(__file__).parents[4] / "shared" / "data" / "maps"


def scene(seed: int, size: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Draw a photo and its map: rectangles of random places and colours, with grain on the photo."""
    rng = np.random.default_rng(seed)
    photo, drawn = np.full((size, size, 3), 90, np.int16), np.full((size, size), 0)
    for _ in range(size * size // 40):
        y, x = rng.integers(-4, size, 2)
        height, width = rng.integers(3, 12, 2)
        area = np.s_[max(y, 0) : y + height, max(x, 0) : x + width]
        photo[area] = rng.integers(20, 220, 3)
        drawn[area] = rng.integers(len(MAP_COLOURS))
    photo += rng.integers(-6, 7, photo.shape, dtype=np.int16)
    return photo.clip(0, 255).astype(np.uint8), MAP_COLOURS[drawn]


def save(path: Path, *sides: np.ndarray) -> Path:
    """Write images side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.hstack(sides)).save(path)
    return path


def draw_set(folder: Path, train: int = 8, val: int = 3) -> Path:
    """Draw a healthy data set of side-by-side images."""
    for i in range(train):
        save(folder / "train" / f"{i}.png", *scene(i))
    for i in range(val):
        save(folder / "val" / f"{i}.png", *scene(100 + i))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw_set(tmp_path / "set")


def only(result: CheckResult) -> Finding:
    assert len(result.findings) == 1, result.findings
    return result.findings[0]


def kinds(result: CheckResult) -> set[tuple[str, str]]:
    return {(finding.kind, finding.severity) for finding in result.findings}


def printed(result: CheckResult) -> str:
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    with console.file:
        print_result(result, console)
    return console.export_text()


def test_nothing_is_found_in_a_healthy_set(data):
    result = check(data)
    assert result.findings == []
    assert result.ok
    assert result.counts == {"train": 8, "val": 3}
    assert result.sizes == {(SIDE, SIDE): 11}
    assert result.notes == []


def test_nothing_is_found_in_healthy_folders_of_sources_and_targets(tmp_path):
    for split, seeds in (("train", range(4)), ("val", range(10, 12))):
        for seed in seeds:
            for side, image in zip(("source", "target"), scene(seed), strict=True):
                save(tmp_path / split / side / f"{seed}.png", image)
    assert check(tmp_path).findings == []


def test_no_file_is_changed_or_added(data):
    def tree() -> dict[str, tuple[str, int]]:
        return {
            str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in data.rglob("*")
            if path.is_file()
        }

    (data / "train" / "broken.png").write_bytes(b"")
    before = tree()
    check(data)
    assert tree() == before


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_a_file_that_is_no_image_is_an_error(data, content):
    (data / "train" / "0.png").write_bytes(content)
    finding = only(check(data))
    assert (finding.kind, finding.severity, finding.where) == ("unreadable", "error", "train/0.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_image_is_an_error(data, suffix):
    path = save(data / "train" / f"cut{suffix}", *scene(50))
    path.write_bytes(path.read_bytes()[:-1500])
    finding = only(check(data))
    assert (finding.kind, finding.where) == ("unreadable", f"train/cut{suffix}")


def test_every_fault_is_found_and_not_only_the_first(data):
    for name in ("0.png", "3.png"):
        (data / "train" / name).write_bytes(b"")
    save(data / "val" / "1.png", np.zeros((SIDE, 2 * SIDE + 1, 3), np.uint8))
    assert [(finding.kind, finding.where) for finding in check(data).findings] == [
        ("unreadable", "train/0.png"),
        ("unreadable", "train/3.png"),
        ("not-side-by-side", "val/1.png"),
    ]


def test_a_file_without_partner_is_an_error(tmp_path):
    for seed in range(4):
        for side, image in zip("AB", scene(seed), strict=True):
            for split in ("train", "val"):
                save(tmp_path / side / split / f"{seed}{split}.png", np.rot90(image, 2 * (split == "val")))
    (tmp_path / "B" / "train" / "2train.png").unlink()
    finding = only(check(tmp_path))
    assert (finding.kind, finding.severity, finding.where) == ("no-partner", "error", "A/train/2train.png")


def test_sides_of_different_sizes_are_an_error(tmp_path):
    for seed in range(3):
        photo, drawn = scene(seed)
        save(tmp_path / "source" / f"{seed}.png", photo)
        save(tmp_path / "target" / f"{seed}.png", drawn[: 50 if seed == 1 else SIDE])
    finding = only(check(tmp_path))
    assert (finding.kind, finding.where) == ("size-mismatch", "source/1.png")
    assert "64×64 px" in finding.message
    assert "64×50 px" in finding.message


def test_pairs_of_another_size_than_most_are_an_error(data):
    save(data / "val" / "1.png", *scene(7, size=48))
    finding = only(check(data))
    assert (finding.kind, finding.severity, finding.where) == ("mixed-sizes", "error", "val/1.png")


def test_a_pair_the_other_way_round_from_the_rest_is_an_error(data):
    save(data / "train" / "5.png", *reversed(scene(5)))
    finding = only(check(data))
    assert (finding.kind, finding.severity, finding.where) == ("swapped", "error", "train/5.png")


def test_a_photo_that_is_half_empty_is_not_taken_for_a_map(data):
    photo, _ = scene(5)
    photo[: SIDE // 2 - 4] = 0
    busy = MAP_COLOURS[np.random.default_rng(0).integers(4, size=(SIDE, SIDE))]
    save(data / "train" / "5.png", photo, busy)
    assert check(data).findings == []


def test_a_set_with_all_sides_swapped_is_one_warning_that_names_the_direction(tmp_path):
    for i in range(8):
        save(tmp_path / ("val" if i < 2 else "train") / f"{i}.png", *reversed(scene(i)))
    result = check(tmp_path)
    finding = only(result)
    assert (finding.kind, finding.severity) == ("swapped", "warning")
    assert "the direction target-to-source" in finding.message
    assert result.ok


def test_nothing_is_said_of_sides_where_both_are_photos(tmp_path):
    for i in range(8):
        save(tmp_path / ("val" if i < 2 else "train") / f"{i}.png", scene(i)[0], 255 - scene(i)[0])
    assert [finding.kind for finding in check(tmp_path).findings] == ["same-kind"]


def test_a_photo_of_one_colour_is_an_error_and_a_map_of_one_colour_a_warning(data):
    flat = np.full((SIDE, SIDE, 3), 200, np.uint8)
    photo, drawn = scene(5)
    save(data / "train" / "5.png", flat, drawn)
    save(data / "train" / "6.png", photo, flat)
    found = [(finding.severity, finding.where) for finding in check(data).findings]
    assert found == [("error", "train/5.png"), ("warning", "train/6.png")]
    assert kinds(check(data)) == {("constant", "error"), ("constant", "warning")}


def test_the_same_pixels_in_two_splits_are_an_error(data):
    save(data / "val" / "9.png", *scene(2))
    finding = only(check(data))
    assert (finding.kind, finding.severity) == ("duplicate", "error")
    assert finding.where == "train/2.png and val/9.png"


def test_the_same_pixels_in_another_format_within_a_split_are_a_warning(data):
    save(data / "train" / "copy.tif", *scene(2))
    finding = only(check(data))
    assert (finding.kind, finding.severity) == ("duplicate", "warning")


def test_a_photo_saved_again_in_another_split_is_a_near_duplicate(data):
    photo, drawn = scene(2)
    brighter = (photo * 0.8 + 30).astype(np.uint8)
    save(data / "val" / "9.jpg", brighter, drawn)
    finding = only(check(data))
    assert (finding.kind, finding.severity) == ("near-duplicate", "error")
    assert finding.where == "val/9.jpg and train/2.png"


def test_tiles_of_one_scene_in_two_splits_overlap_by_the_share_of_ground_that_they_have_in_common(tmp_path):
    size, half = 96, 40
    wide = scene(0, size=4 * size)
    places = {
        "val/a": (100, 100),
        "train/b": (100 - half, 100 + 27),
        "train/c": (250, 250),
        "train/d": (5, 60),
    }
    for name, (y, x) in places.items():
        save(tmp_path / f"{name}.png", *(side[y : y + size, x : x + size] for side in wide))
    finding = only(check(tmp_path))
    assert (finding.kind, finding.severity) == ("overlap", "error")
    assert finding.where == "val/a.png and train/b.png"
    common = (size - half) * (size - 27) / size**2
    assert int(finding.message.split("%")[0].split()[-1]) == pytest.approx(100 * common, abs=2)


def test_tiles_of_faint_noise_are_not_taken_for_one_place(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(8):
        water = (60 + rng.normal(0, 1.5, (SIDE, SIDE, 3))).astype(np.uint8)
        save(tmp_path / ("val" if i < 3 else "train") / f"{i}.png", water, scene(i)[1])
    assert check(tmp_path).findings == []


def test_one_thing_that_stands_in_two_tiles_does_not_make_them_one_place(data):
    thing = scene(99)[0][:36, :36]
    for name, seed, (y, x) in (("train/0", 0, (0, 0)), ("val/0", 100, (14, 20))):
        photo, drawn = scene(seed)
        photo[y : y + 36, x : x + 36] = thing
        save(data / f"{name}.png", photo, drawn)
    assert check(data).findings == []


def test_different_tiles_with_the_same_strong_line_are_not_taken_for_one_place(tmp_path):
    for i in range(6):
        photo = np.random.default_rng(i).normal(60, 1.5, (SIDE, SIDE, 3))
        photo[np.eye(SIDE, dtype=bool) | np.eye(SIDE, k=1, dtype=bool)] = 230
        save(tmp_path / ("val" if i < 2 else "train") / f"{i}.png", photo.astype(np.uint8), scene(i)[1])
    assert check(tmp_path).findings == []


def test_without_a_val_split_what_a_random_one_would_leak_is_a_warning(tmp_path):
    wide = scene(0, size=300)
    for i, (y, x) in enumerate(np.random.default_rng(0).integers(0, 300 - SIDE, (60, 2))):
        save(tmp_path / f"{i}.png", *(side[y : y + SIDE, x : x + SIDE] for side in wide))
    result = check(tmp_path)
    assert kinds(result) == {("overlap", "warning")}
    assert result.ok
    assert result.counts == {"train": 60}
    assert "no val split" in result.notes[0]


def test_a_single_split_that_is_not_train_has_nothing_to_be_compared_with(tmp_path):
    wide = scene(0, size=2 * SIDE)
    for i in range(3):
        save(tmp_path / "val" / f"{i}.png", *(side[9 * i : 9 * i + SIDE, :SIDE] for side in wide))
    result = check(tmp_path)
    assert result.findings == []
    assert "one split only" in result.notes[0]


def write_table(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    table = folder / "pairs.csv"
    table.write_text("file,split,place\n" + "".join(f"{','.join(row)}\n" for row in rows))
    return table


def test_a_csv_is_checked_and_its_findings_are_named_from_its_folder(data):
    rows = [(f"train/{i}.png", "train", "north") for i in range(8)] + [("val/0.png", "val", "south")]
    table = write_table(data, rows)
    assert check(table, group_column="place").findings == []
    (data / "val" / "0.png").write_bytes(b"")
    assert only(check(table)).where == "val/0.png"


def test_a_group_in_two_splits_is_an_error(data):
    rows = [
        ("train/0.png", "train", "north"),
        ("train/1.png", "train", "east"),
        ("val/0.png", "val", "north"),
    ]
    finding = only(check(write_table(data, rows), group_column="place"))
    assert (finding.kind, finding.severity, finding.where) == ("split-group", "error", "group north")


def test_a_csv_that_cannot_be_followed_is_one_error(data):
    finding = only(check(write_table(data, [("train/none.png", "train", "north")])))
    assert (finding.kind, finding.severity) == ("layout", "error")
    assert "none.png" in finding.message


def test_a_folder_that_is_missing_or_empty_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        check(tmp_path / "none")
    with pytest.raises(DataError, match="no pairs"):
        check(tmp_path)


def test_progress_runs_up_to_its_total(data):
    told: list[tuple[int, int]] = []
    check(data, progress=lambda done, total: told.append((done, total)))
    done = [step for step, _ in told]
    assert done == sorted(done)
    assert {total for _, total in told} == {8 + 3 + 3}
    assert done[-1] == 14


def test_the_findings_do_not_depend_on_the_number_of_workers(data):
    save(data / "val" / "9.png", *scene(2))
    (data / "train" / "0.png").write_bytes(b"")
    assert check(data, workers=1) == check(data, workers=4)


def test_a_sample_of_a_large_split_is_compared_and_the_result_says_so(data, monkeypatch):
    monkeypatch.setattr("sat2map.data.check.validate.LIMIT", 3)
    save(data / "val" / "2.jpg", *scene(7))
    result = check(data)
    assert "3 pairs a split" in result.notes[0]


def test_the_table_counts_a_kind_gives_examples_and_ends_in_a_sentence(data):
    for i in range(3):
        (data / "train" / f"{i}.png").write_bytes(b"")
    save(data / "train" / "[red]x.png", np.zeros((SIDE, 2 * SIDE + 1, 3), np.uint8))
    text = printed(check(data))
    assert "8 in train, 3 in val" in text
    assert "64×64 px" in text
    assert "[red]x.png is 129×64 px" in text
    row = next(line for line in text.splitlines() if "unreadable" in line)
    assert "3" in row
    assert "train/0.png" in row
    assert text.rstrip().endswith("4 errors, 0 warnings: fix the errors before you train.")


def test_the_table_of_a_healthy_set_is_a_sentence(data):
    assert printed(check(data)).splitlines()[-1] == "Nothing is wrong."


@pytest.mark.skipif(not MAPS.is_dir(), reason=f"the maps data set is not at {MAPS}")
def test_a_random_split_of_overlapping_aerial_tiles_is_found_out(tmp_path):
    with (MAPS / "layout.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    overlapping = [name for name, row in rows.items() if row["component"] == "6"]
    apart = [name for name, row in rows.items() if row["component"] == "8"][:30]
    held_out = set(overlapping[::3])
    for name in (*overlapping, *apart):
        path = tmp_path / ("val" if name in held_out else "train") / Path(name).name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(MAPS / name)

    def share(first: str, second: str) -> float:
        a, b = rows[first], rows[second]
        if a["component"] != b["component"]:
            return 0.0
        sides = (max(0, 600 - abs(int(a[axis]) - int(b[axis]))) for axis in ("y_px", "x_px"))
        return float(np.prod(list(sides))) / 600**2

    names = {Path(name).name: name for name in (*overlapping, *apart)}
    found = set()
    for finding in check(tmp_path).findings:
        assert finding.kind in ("overlap", "near-duplicate")
        found.add(tuple(names[Path(part).name] for part in finding.where.split(" and ")))
    large = {(a, b) for a in held_out for b in {*overlapping, *apart} - held_out if share(a, b) > 0.25}
    assert len(large) > 20
    assert len(large & found) >= 0.95 * len(large)
    assert all(share(*pair) > 0 for pair in found)


def two_folders(folder: Path, count: int = 6) -> Path:
    for i in range(count):
        for side, image in zip(("source", "target"), scene(i), strict=True):
            save(folder / side / f"{i}.png", image)
    return folder


def test_two_targets_of_one_name_are_named_both(tmp_path):
    save(two_folders(tmp_path) / "target" / "0.jpg", scene(9)[1])
    found = only(check(tmp_path))
    assert (found.kind, found.where) == ("same-name", "target/0.jpg")
    assert "0.png" in found.message


def test_transparent_targets_are_a_warning_with_their_share(tmp_path):
    two_folders(tmp_path)
    drawn = scene(0)[1]
    alpha = np.full((SIDE, SIDE, 1), 255, np.uint8)
    alpha[: SIDE // 4] = 0
    Image.fromarray(np.dstack([drawn, alpha])).save(tmp_path / "target" / "0.png")
    found = only(check(tmp_path))
    assert (found.kind, found.severity) == ("transparent", "warning")
    assert "target of which 25.0% is transparent" in found.message


def test_grey_targets_of_class_numbers_are_a_warning(tmp_path):
    two_folders(tmp_path)
    for i in range(6):
        numbers = np.random.default_rng(i).integers(0, 5, (SIDE // 8, SIDE // 8), dtype=np.uint8)
        save(tmp_path / "target" / f"{i}.png", np.kron(numbers, np.ones((8, 8), np.uint8)))
    findings = [finding for finding in check(tmp_path).findings if finding.kind == "class-numbers"]
    assert len(findings) == 6
    assert "numbers 0 to 4" in findings[0].message


def test_wide_photos_are_not_taken_for_pairs_without_a_word(tmp_path):
    for i in range(6):
        wide = np.hstack([scene(i)[0], scene(i + 50)[0]])
        save(tmp_path / "train" / f"{i}.png", wide)
    assert ("same-kind", "warning") in kinds(check(tmp_path))


def test_a_csv_split_by_folders_is_a_warning(data):
    (data / "list.csv").write_text(
        "file\n" + "\n".join(path.relative_to(data).as_posix() for path in sorted(data.rglob("*.png")))
    )
    found = only(check(data / "list.csv"))
    assert (found.kind, found.severity) == ("split-by-folder", "warning")
