"""Tests of sat2map.data.pairs."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sat2map.data.pairs import Pair, Splits, find_pairs
from sat2map.data.read_pair import read_pair
from sat2map.errors import DataError, ImageError


def draw(path: Path, width: int = 8, height: int = 4, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (level, level, level)).save(path)
    return path


def draw_all(folder: Path, *names: str) -> None:
    for name in names:
        draw(folder / name)


def write_csv(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def names(splits: Splits) -> dict[str, list[str]]:
    return {split: [pair.name for pair in pairs] for split, pairs in splits.pairs.items()}


def files(pair: Pair, root: Path) -> tuple[str, ...]:
    return tuple(path.relative_to(root).as_posix() for path in pair.files)


# layouts


def test_side_by_side_images_in_the_folder_itself(tmp_path: Path) -> None:
    draw_all(tmp_path, *(f"{i}.jpg" for i in range(20)))
    splits = find_pairs(tmp_path)
    assert splits.made
    assert sorted(splits["train"] + splits["val"], key=lambda pair: int(pair.name)) == [
        Pair(str(i), tmp_path / f"{i}.jpg", None) for i in range(20)
    ]


def test_side_by_side_images_in_split_folders(tmp_path: Path) -> None:
    draw_all(tmp_path, "train/1.jpg", "train/2.jpg", "val/1.jpg", "test/3.jpg")
    splits = find_pairs(tmp_path)
    assert names(splits) == {"train": ["1", "2"], "val": ["1"], "test": ["3"]}
    assert not splits.made
    assert splits["val"][0] == Pair("1", tmp_path / "val/1.jpg", None)


@pytest.mark.parametrize(
    ("train", "val"),
    [
        (("train/source", "train/target"), ("val/source", "val/target")),
        (("source/train", "target/train"), ("source/val", "target/val")),
        (("train/A", "train/B"), ("val/A", "val/B")),
        (("A/train", "B/train"), ("A/val", "B/val")),
        (("trainA", "trainB"), ("valA", "valB")),
    ],
    ids=lambda sides: sides[0],
)
def test_two_folders_a_split(tmp_path: Path, train: tuple[str, str], val: tuple[str, str]) -> None:
    draw_all(tmp_path, *(f"{side}/1.png" for side in (*train, *val)))
    splits = find_pairs(tmp_path)
    assert files(splits["train"][0], tmp_path) == (f"{train[0]}/1.png", f"{train[1]}/1.png")
    assert files(splits["val"][0], tmp_path) == (f"{val[0]}/1.png", f"{val[1]}/1.png")
    assert names(splits) == {"train": ["1"], "val": ["1"]}


def test_cyclegans_test_folders_are_the_test_split(tmp_path: Path) -> None:
    draw_all(tmp_path, *(f"{split}{side}/1.png" for split in ("train", "val", "test") for side in "AB"))
    assert files(find_pairs(tmp_path)["test"][0], tmp_path) == ("testA/1.png", "testB/1.png")


@pytest.mark.parametrize(("first", "second"), [("source", "target"), ("A", "B")])
def test_two_folders_without_a_split(tmp_path: Path, first: str, second: str) -> None:
    draw_all(tmp_path, *(f"{side}/{i}.png" for side in (first, second) for i in range(10)))
    splits = find_pairs(tmp_path)
    assert splits.made
    assert len(splits["train"]) + len(splits["val"]) == 10
    for pair in splits["train"]:
        assert files(pair, tmp_path) == (f"{first}/{pair.name}.png", f"{second}/{pair.name}.png")


def test_partners_may_differ_in_format(tmp_path: Path) -> None:
    draw_all(
        tmp_path, "train/source/1.jpg", "train/target/1.png", "train/source/2.webp", "train/target/2.TIF"
    )
    draw_all(tmp_path, "val/source/1.jpeg", "val/target/1.tiff")
    splits = find_pairs(tmp_path)
    assert names(splits) == {"train": ["1", "2"], "val": ["1"]}
    for pair in splits["train"] + splits["val"]:
        assert read_pair(pair)[0].shape == (4, 8, 3)


def test_names_are_in_natural_order(tmp_path: Path) -> None:
    draw_all(
        tmp_path, "train/10.png", "train/2.png", "train/1.png", "train/a2.png", "train/a10.png", "val/1.png"
    )
    assert names(find_pairs(tmp_path))["train"] == ["1", "2", "10", "a2", "a10"]


def test_digits_of_other_scripts_do_no_harm(tmp_path: Path) -> None:
    draw_all(tmp_path, "train/1²3.png", "train/٣.png", "val/1.png")
    assert len(find_pairs(tmp_path)["train"]) == 2


def test_other_files_and_hidden_files_are_no_images(tmp_path: Path) -> None:
    draw_all(tmp_path, "train/1.png", "train/.2.png", "val/1.png")
    (tmp_path / "train" / "notes.txt").write_text("x")
    assert names(find_pairs(tmp_path))["train"] == ["1"]


def test_files_without_a_partner_are_named(tmp_path: Path) -> None:
    draw_all(tmp_path, "train/source/1.png", "train/source/2.png", "train/target/1.png", "train/target/3.png")
    draw_all(tmp_path, "val/source/1.png", "val/target/1.png")
    splits = find_pairs(tmp_path)
    assert names(splits)["train"] == ["1"]
    assert splits.unpaired_files == [tmp_path / "train/source/2.png", tmp_path / "train/target/3.png"]


# CSV


def csv_data(folder: Path) -> Path:
    draw_all(folder, *(f"photos/{i}.png" for i in range(6)), *(f"maps/{i}.png" for i in range(6)))
    return folder


def test_a_csv_names_source_and_target(tmp_path: Path) -> None:
    csv_data(tmp_path)
    rows = ["photos/0.png,maps/3.png,train", "photos/1.png,maps/1.png,val"]
    table = write_csv(tmp_path / "list.csv", "source,target,split", *rows)
    splits = find_pairs(table)
    assert names(splits) == {"train": ["0"], "val": ["1"]}
    assert files(splits["train"][0], tmp_path) == ("photos/0.png", "maps/3.png")


def test_a_csv_of_side_by_side_files_reads_the_split_off_their_folders(tmp_path: Path) -> None:
    draw_all(tmp_path / "test", "train/1.png", "val/2.png", "3.png")
    table = write_csv(tmp_path / "list.csv", "file", "test/train/1.png", "test/val/2.png", "test/3.png")
    assert names(find_pairs(table)) == {"train": ["1"], "val": ["2"], "test": ["3"]}


def test_a_csv_called_pairs_speaks_for_its_folder(tmp_path: Path) -> None:
    csv_data(tmp_path)
    draw_all(tmp_path, "train/9.png", "val/9.png")
    rows = ["photos/0.png,maps/0.png,train", "photos/1.png,maps/1.png,val"]
    write_csv(tmp_path / "pairs.csv", "source,target,split", *rows)
    assert names(find_pairs(tmp_path)) == {"train": ["0"], "val": ["1"]}


def test_a_csv_written_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    draw_all(tmp_path, "a, b.png", "2.png")
    (tmp_path / "list.csv").write_bytes('\ufefffile,split\r\n"a, b.png",train\r\n2.png,val\r\n'.encode())
    assert names(find_pairs(tmp_path / "list.csv")) == {"train": ["a, b"], "val": ["2"]}


def test_equal_names_from_different_folders_are_told_apart(tmp_path: Path) -> None:
    draw_all(tmp_path, "north/1.png", "south/1.png", "south/2.png", "3.png")
    rows = ["north/1.png,train", "south/1.png,train", "south/2.png,train", "3.png,val"]
    assert names(find_pairs(write_csv(tmp_path / "list.csv", "file,split", *rows)))["train"] == [
        "north-1",
        "south-1",
        "2",
    ]


def test_a_group_column_gives_each_pair_its_place(tmp_path: Path) -> None:
    csv_data(tmp_path)
    rows = ["photos/0.png,maps/0.png,train,Bronx", "photos/1.png,maps/1.png,val,Queens"]
    table = write_csv(tmp_path / "list.csv", "source,target,split,place", *rows)
    splits = find_pairs(table, group_column="place")
    assert [splits["train"][0].group, splits["val"][0].group] == ["Bronx", "Queens"]


# refusals


def refused(data: Path, why: str, group_column: str | None = None) -> None:
    with pytest.raises(DataError, match=why) as caught:
        find_pairs(data, group_column=group_column)
    assert str(data) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "no", "does not exist: name a folder")


def test_a_file_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    refused(draw(tmp_path / "1.png"), "is a file: name the folder that holds it")


def test_an_empty_folder_is_refused_with_the_layouts(tmp_path: Path) -> None:
    refused(
        tmp_path,
        "holds no pairs: it holds no images: it needs side-by-side images, .* matching names",
    )


def test_folders_without_one_matching_name_are_refused(tmp_path: Path) -> None:
    draw_all(tmp_path, "source/1_sat.png", "target/1_map.png")
    refused(tmp_path, "holds no pairs: .* matching names")


def test_a_group_column_without_a_csv_is_refused(tmp_path: Path) -> None:
    draw_all(tmp_path, "1.png", "2.png")
    refused(tmp_path, "group_column 'place' needs a CSV", group_column="place")


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("source,targt", "has no column 'target' .did you mean 'targt'"),
        ("path,split", "has no column 'file'"),
        ("source;target", "is separated by semicolons: save it with commas"),
        ("source\ttarget", "is separated by tabs: save it with commas"),
    ],
)
def test_a_csv_that_lacks_a_column_names_it(tmp_path: Path, header: str, why: str) -> None:
    refused(write_csv(tmp_path / "list.csv", header, "1,2"), why)


def test_a_csv_that_lacks_the_group_column_names_the_nearest(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "list.csv", "file,places", "1.png,x")
    refused(table, "has no column 'place' .did you mean 'places'", group_column="place")


def test_an_empty_csv_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("")
    refused(tmp_path / "list.csv", "has no column 'file'")


def test_a_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "1.png").rename(tmp_path / "list.csv")
    refused(tmp_path / "list.csv", "cannot be read as CSV")


def test_a_missing_file_names_its_line(tmp_path: Path) -> None:
    csv_data(tmp_path)
    rows = ["photos/0.png,maps/0.png", "", "photos/1.png,maps/7.png"]
    table = write_csv(tmp_path / "list.csv", "source,target", *rows)
    refused(table, r"list\.csv, line 4: .*maps/7\.png does not exist")


@pytest.mark.parametrize("row", ["photos/0.png,", ",maps/0.png", "photos/0.png"])
def test_an_empty_path_names_its_line(tmp_path: Path, row: str) -> None:
    csv_data(tmp_path)
    refused(write_csv(tmp_path / "list.csv", "source,target", row), "line 2: column '.*' is empty")


def test_an_empty_group_names_its_line(tmp_path: Path) -> None:
    csv_data(tmp_path)
    table = write_csv(tmp_path / "list.csv", "source,target,place", "photos/0.png,maps/0.png,")
    refused(table, "line 2: column 'place' is empty", group_column="place")


def test_an_unknown_split_names_the_nearest(tmp_path: Path) -> None:
    draw_all(tmp_path, "1.png", "2.png")
    table = write_csv(tmp_path / "list.csv", "file,split", "1.png,train", "2.png,valid")
    refused(table, r"line 3: unknown split 'valid', did you mean 'val'\?")


def test_a_split_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    draw_all(tmp_path, "train/1.png", "val/1.png")
    with pytest.raises(DataError, match="no pairs in its split 'test', known: train, val"):
        find_pairs(tmp_path)["test"]


def test_a_single_pair_cannot_be_split(tmp_path: Path) -> None:
    draw(tmp_path / "1.png")
    with pytest.raises(DataError, match="1 pair cannot be split into train and val: add pairs"):
        find_pairs(tmp_path)


# a split made here


@pytest.fixture
def grouped(tmp_path: Path) -> Callable[[int], Path]:
    """Return a function that writes a CSV of the first n of 200 pairs in 40 groups of different sizes."""
    image = draw(tmp_path / "x.png")

    def write(n: int) -> Path:
        rows = []
        for i in range(n):
            path = tmp_path / f"{i}.png"
            if not path.exists():
                path.hardlink_to(image)
            rows.append(f"{i}.png,place {int((i * 7919 % 200) ** 0.5 * 2.8)}")
        return write_csv(tmp_path / "list.csv", "file,place", *rows)

    return write


def test_a_made_split_never_cuts_a_group(grouped: Callable[[int], Path]) -> None:
    splits = find_pairs(grouped(200), group_column="place", val_fraction=0.2)
    train, val = ({pair.group for pair in splits[split]} for split in ("train", "val"))
    assert train
    assert val
    assert not train & val
    assert len(splits["train"]) + len(splits["val"]) == 200


def test_adding_pairs_moves_no_other(grouped: Callable[[int], Path]) -> None:
    few = names(find_pairs(grouped(120), group_column="place", val_fraction=0.2))
    many = names(find_pairs(grouped(200), group_column="place", val_fraction=0.2))
    assert set(few["train"]) <= set(many["train"])
    assert set(few["val"]) <= set(many["val"])


def test_a_made_split_is_the_same_every_time(grouped: Callable[[int], Path]) -> None:
    table = grouped(200)
    assert find_pairs(table, seed=3) == find_pairs(table, seed=3)
    assert find_pairs(table, seed=3) != find_pairs(table, seed=4)


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_a_made_split_holds_out_about_the_fraction(grouped: Callable[[int], Path], fraction: float) -> None:
    share = len(find_pairs(grouped(200), val_fraction=fraction)["val"]) / 200
    assert abs(share - fraction) < 4 * (fraction * (1 - fraction) / 200) ** 0.5  # four standard errors


@pytest.mark.parametrize("fraction", [1e-9, 1 - 1e-9])
def test_both_sides_of_a_made_split_have_a_pair(tmp_path: Path, fraction: float) -> None:
    draw_all(tmp_path, "1.png", "2.png", "3.png")
    splits = find_pairs(tmp_path, val_fraction=fraction)
    assert splits["train"]
    assert splits["val"]


def test_a_split_that_is_there_is_not_touched(tmp_path: Path) -> None:
    draw_all(tmp_path, *(f"train/{i}.png" for i in range(20)), "val/x.png")
    splits = find_pairs(tmp_path, val_fraction=0.5)
    assert (len(splits["train"]), names(splits)["val"]) == (20, ["x"])


# reading


def stripes(path: Path, left: int, right: int, width: int, height: int = 5) -> Pair:
    pixels = np.full((height, width, 3), left, dtype=np.uint8)
    pixels[:, width // 2 :] = right
    Image.fromarray(pixels).save(path)
    return Pair(path.stem, path, None)


@pytest.mark.parametrize("width", [2, 12, 512, 600, 1200])
def test_a_side_by_side_image_is_cut_at_half_its_width(tmp_path: Path, width: int) -> None:
    source, target = read_pair(stripes(tmp_path / "x.png", 10, 200, width))
    assert source.shape == target.shape == (5, width // 2, 3)
    assert np.unique(source).tolist() == [10]
    assert np.unique(target).tolist() == [200]


def test_the_other_direction_swaps_input_and_output(tmp_path: Path) -> None:
    pair = stripes(tmp_path / "x.png", 10, 200, 8)
    source, target = read_pair(pair)
    swapped = read_pair(pair, "target-to-source")
    np.testing.assert_array_equal(swapped[0], target)
    np.testing.assert_array_equal(swapped[1], source)
    assert int(swapped[0][0, 0, 0]) == 200


def test_bands_stay_with_their_side_in_the_other_direction(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 8), 9, np.uint8)).save(tmp_path / "grey.png")
    pair = Pair("x", draw(tmp_path / "rgb.png"), tmp_path / "grey.png")
    assert [side.shape[2] for side in read_pair(pair, bands=(3, 1))] == [3, 1]
    assert [side.shape[2] for side in read_pair(pair, "target-to-source", (3, 1))] == [1, 3]


def test_grey_sides_become_rgb(tmp_path: Path) -> None:
    grey: NDArray[np.uint8] = np.arange(16, dtype=np.uint8).reshape(2, 8)
    Image.fromarray(grey).save(tmp_path / "x.png")
    source, target = read_pair(Pair("x", tmp_path / "x.png", None))
    np.testing.assert_array_equal(source, np.dstack([grey[:, :4]] * 3))
    np.testing.assert_array_equal(target, np.dstack([grey[:, 4:]] * 3))


def test_an_odd_width_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "x.png", width=601)
    with pytest.raises(ImageError, match=r"x\.png is 601 px wide: a side-by-side pair needs an even width"):
        read_pair(Pair("x", tmp_path / "x.png", None))


def test_sides_of_different_sizes_are_refused(tmp_path: Path) -> None:
    pair = Pair("x", draw(tmp_path / "a.png", 8, 6), draw(tmp_path / "b.png", 8, 7))
    with pytest.raises(ImageError, match=r"a\.png is 8.6 px but its partner .*b\.png is 8.7 px"):
        read_pair(pair)


# the real data set


def test_the_maps_data_set_is_found_with_its_groups(maps_data: Path) -> None:
    splits = find_pairs(maps_data / "layout.csv", group_column="group")
    assert {split: len(pairs) for split, pairs in splits.pairs.items()} == {"train": 960, "val": 136}
    with (maps_data / "layout.csv").open(newline="") as file:
        groups = {row["file"]: row["group"] for row in csv.DictReader(file)}
    for split in ("train", "val"):
        for pair in splits[split]:
            assert pair.group == groups[f"{split}/{pair.name}.jpg"]
    assert not {pair.group for pair in splits["train"]} & {pair.group for pair in splits["val"]}


def test_the_maps_data_set_is_the_same_by_folder_and_by_csv(maps_data: Path) -> None:
    by_folder, by_csv = find_pairs(maps_data), find_pairs(maps_data / "layout.csv")
    for split in ("train", "val"):
        assert {pair.files for pair in by_folder[split]} == {pair.files for pair in by_csv[split]}


def test_a_pair_of_the_maps_data_set_is_two_squares(maps_data: Path) -> None:
    source, target = read_pair(find_pairs(maps_data)["val"][0])
    assert source.shape == target.shape == (600, 600, 3)
    assert target.mean() > source.mean()  # maps are light, photos are not


# what no pair uses


def left_out(data: Path) -> dict[str, str]:
    return {entry.path.relative_to(data).as_posix(): entry.reason for entry in find_pairs(data).left_out}


def test_every_image_that_no_pair_uses_is_named_with_its_reason(tmp_path: Path) -> None:
    draw_all(tmp_path, "train/1.png", "train/2.png", "val/1.png")
    draw(tmp_path / "train" / "square.png", 4, 4)
    draw_all(tmp_path, "train/deep/3.png", "validation/4.png", "5.png", "train/1.jpg", "train/.hidden.png")
    (tmp_path / "train" / "6.heic").write_bytes(b"x")
    (tmp_path / "train" / "notes.txt").write_bytes(b"x")
    assert left_out(tmp_path) == {
        "5.png": "beside-folders",
        "train/1.png": "same-name",
        "train/6.heic": "unread-format",
        "train/deep/3.png": "unused-folder",
        "train/square.png": "not-side-by-side",
        "validation/4.png": "unknown-split",
    }


def test_side_by_side_files_beside_two_folders_are_named(tmp_path: Path) -> None:
    draw_all(tmp_path, *(f"{side}/{i}.png" for side in ("A", "B") for i in range(3)), "7.png")
    assert left_out(tmp_path) == {"7.png": "beside-folders"}


def test_of_two_targets_with_one_name_the_one_of_the_sources_format_is_taken(tmp_path: Path) -> None:
    draw_all(tmp_path, *(f"{side}/{i}.png" for side in ("source", "target") for i in range(3)))
    draw(tmp_path / "target" / "0.jpg")
    splits = find_pairs(tmp_path)
    chosen = [pair for pairs in splits.pairs.values() for pair in pairs if pair.name == "0"]
    assert files(chosen[0], tmp_path) == ("source/0.png", "target/0.png")
    assert left_out(tmp_path) == {"target/0.jpg": "same-name"}


def test_a_folder_of_photos_is_no_set_of_pairs_and_the_error_says_what_it_holds(tmp_path: Path) -> None:
    for i in range(3):
        draw(tmp_path / "photos" / f"{i}.png", 5, 4)
    refused(tmp_path / "photos", r"holds no pairs: it holds 3 images such as 0\.png \(5×4 px\)")
    refused(tmp_path, r"it holds 3 images in photos/ such as 0\.png")


def test_backslashes_in_a_csv_are_named_as_the_cause(tmp_path: Path) -> None:
    csv_data(tmp_path)
    table = write_csv(tmp_path / "list.csv", "source,target", r"photos\0.png,maps\0.png")
    refused(table, "line 2: the path of .* has backslashes: write it with forward slashes")


@pytest.mark.parametrize("column", [True, False])
def test_a_csv_whose_folders_decide_the_split_says_so(tmp_path: Path, column: bool) -> None:
    draw_all(tmp_path, "train/1.png", "val/2.png")
    rows = (
        ["file,split", "train/1.png,train", "val/2.png,val"]
        if column
        else ["file", "train/1.png", "val/2.png"]
    )
    assert find_pairs(write_csv(tmp_path / "list.csv", *rows)).split_by_folder is not column
