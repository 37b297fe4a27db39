"""Drawn towns: what a learner, and the demo, rely on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage.color import rgb2lab

from sat2map.errors import DataError, SettingsError
from sat2map.images.palette import Palette
from sat2map.synthetic.towns import draw_town, write_towns

COLOURS = {
    "land": [(232, 229, 223)],
    "building": [(243, 241, 235)],
    "road": [(254, 254, 254)],
    "park": [(203, 223, 172)],
    "water": [(177, 208, 254)],
    "highway": [(247, 158, 39), (251, 223, 107)],
}


@pytest.fixture(scope="module")
def towns():
    return [draw_town(seed) for seed in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("towns") / "set"
    write_towns(place, count=5, size=32, seed=3, val_fraction=0.4)
    return place


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def test_a_town_is_two_pictures_of_the_asked_size():
    town = draw_town(1, size=48)
    assert town.source.shape == town.target.shape == (48, 48, 3)
    assert town.source.dtype == town.target.dtype == np.uint8


@pytest.mark.parametrize("size", [16, 17, 700])
@pytest.mark.parametrize("seed", [0, 1, 2**70])
def test_any_seed_can_be_drawn_at_any_size(seed, size):
    assert draw_town(seed, size=size).target.shape == (size, size, 3)


def test_the_same_seed_gives_the_same_town_in_another_process():
    program = (
        "import sys, zlib; from sat2map.synthetic.towns import draw_town; t = draw_town(7, size=64);"
        "sys.stdout.write(f'{zlib.crc32(t.source.tobytes())} {zlib.crc32(t.target.tobytes())}')"
    )
    runs = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


def test_different_seeds_give_different_towns(towns):
    assert len({town.source.tobytes() for town in towns}) == len(towns)
    assert len({town.target.tobytes() for town in towns}) == len(towns)


def test_each_of_the_six_classes_covers_two_percent_of_a_set(towns):
    # Nearest colour in CIELAB, the rule by which the maps of the paper's data set are classed.
    names = [name for name, colours in COLOURS.items() for _ in colours]
    known = rgb2lab(np.array([[c for colours in COLOURS.values() for c in colours]], np.uint8))[0]
    targets = np.stack([town.target[::4, ::4] for town in towns])
    nearest = ((rgb2lab(targets)[..., None, :] - known) ** 2).sum(-1).argmin(-1)
    share = {name: np.isin(nearest, [i for i, n in enumerate(names) if n == name]).mean() for name in COLOURS}
    assert min(share.values()) > 0.02, share


def test_a_map_has_exact_colours_but_for_smooth_edges(towns):
    exact = np.array([colour for colours in COLOURS.values() for colour in colours])
    share = [(town.target[..., None, :] == exact).all(-1).any(-1).mean() for town in towns]
    assert min(share) > 0.6
    assert np.mean(share) > 0.75


def test_streets_are_eight_to_twenty_metres_wide_at_any_size():
    for size in (256, 700):
        road = np.stack([(draw_town(seed, size=size).target == 254).all(-1) for seed in range(3)])
        edges = np.diff(np.pad(road, ((0, 0), (0, 0), (1, 1))).astype(int), axis=2)
        runs = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
        # A street crossed at right angles shows its width; more slanted cuts are longer, corners shorter.
        assert 8 <= 0.9 * np.percentile(runs, 25) <= 0.9 * np.median(runs) <= 20


def test_both_pictures_have_the_same_geometry(towns):
    # In a source, borders of colour lie where the map has borders: much less so after a shift of one picture.
    def agreement(shift: int) -> float:
        total = 0.0
        for town in towns[:12]:
            steps = [
                np.abs(np.diff(image.astype(float).mean(2), axis=1)) for image in (town.source, town.target)
            ]
            total += np.corrcoef(steps[0].ravel(), np.roll(steps[1], shift, axis=1).ravel())[0, 1]
        return total / 12

    scores = {shift: agreement(shift) for shift in (-12, -4, -2, 0, 2, 4, 12)}
    assert max(scores, key=scores.__getitem__) == 0
    assert scores[0] > 2 * max(scores[-12], scores[12])


def test_colour_alone_does_not_tell_the_class(towns):
    # The best guess from a pixel's colour: a table of 8 levels a channel, fitted on these very pixels.
    source = np.stack([town.source for town in towns]).reshape(-1, 3) // 32
    target = np.stack([town.target for town in towns]).reshape(-1, 3).astype(int)
    bins = source.astype(int) @ [64, 8, 1]
    exact = np.array([colour for colours in COLOURS.values() for colour in colours])
    labels = ((target[:, None] - exact) ** 2).sum(-1).argmin(-1)
    table = np.zeros((512, len(exact)), int)
    np.add.at(table, (bins, labels), 1)
    assert table.max(1).sum() / len(labels) < 0.65


def test_writes_pairs_side_by_side(folder):
    names = sorted(contents(folder))
    assert names == [
        "train/00000.png",
        "train/00001.png",
        "train/00002.png",
        "val/00000.png",
        "val/00001.png",
    ]
    with Image.open(folder / names[0]) as image:
        assert image.size == (64, 32)


def test_the_layouts_hold_the_same_pictures(folder, tmp_path):
    paths = write_towns(tmp_path, count=5, size=32, seed=3, val_fraction=0.4, layout="folders")
    assert [p.relative_to(tmp_path).as_posix() for p in paths[:2]] == [
        "train/source/00000.png", "train/target/00000.png",
    ]  # fmt: skip
    for whole in folder.glob("*/*.png"):
        split = tmp_path / whole.parent.name
        halves = [np.asarray(Image.open(split / side / whole.name)) for side in ("source", "target")]
        np.testing.assert_array_equal(np.asarray(Image.open(whole)), np.hstack(halves))


def test_a_larger_set_begins_with_the_smaller_one(folder, tmp_path):
    write_towns(tmp_path, count=8, size=32, seed=3, val_fraction=0.5)
    assert contents(folder).items() < contents(tmp_path).items()


def test_no_town_is_in_both_splits_or_in_a_set_of_another_seed(folder, tmp_path):
    write_towns(tmp_path, count=5, size=32, seed=4, val_fraction=0.4)
    pictures = [*contents(folder).values(), *contents(tmp_path).values()]
    assert len(set(pictures)) == 10


def test_drawing_again_replaces_the_earlier_towns(tmp_path):
    write_towns(tmp_path, count=4, size=16, layout="folders")
    written = write_towns(tmp_path, count=2, size=16)
    assert sorted(tmp_path.rglob("*.png")) == sorted(written)


def test_one_pair_is_for_training(tmp_path):
    assert write_towns(tmp_path, count=1, size=16, val_fraction=0.9) == [tmp_path / "train" / "00000.png"]


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(DataError, match="not empty and was not drawn by sat2map; choose a new folder"):
        write_towns(tmp_path, count=1, size=16)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.jpg"]


def test_other_files_in_a_folder_of_ours_are_kept(tmp_path):
    write_towns(tmp_path, count=1, size=16)
    mine = tmp_path / "train" / "mine.png"
    mine.write_bytes(b"mine")
    write_towns(tmp_path, count=1, size=16)
    assert mine.read_bytes() == b"mine"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    path = tmp_path / "towns"
    path.write_text("")
    with pytest.raises(DataError, match="is a file"):
        write_towns(path, count=1, size=16)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"count": 0}, "count is 0"),
        ({"size": 15}, "16 to 4096"),
        ({"size": 4097}, "16 to 4096"),
        ({"seed": -1}, "seed is -1"),
        ({"val_fraction": 1.0}, "val_fraction is 1.0"),
        ({"val_fraction": -0.1}, "val_fraction is -0.1"),
    ],
)
def test_a_setting_out_of_range_is_refused_before_anything_is_written(tmp_path, settings, words):
    with pytest.raises(SettingsError, match=words):
        write_towns(tmp_path / "new", **{"count": 1, "size": 16, **settings})
    assert not (tmp_path / "new").exists()


# other scales, and the true outlines


def test_a_town_at_half_the_gsd_has_its_streets_twice_as_wide() -> None:
    def share_of_road(gsd: float, size: int) -> float:
        towns = [draw_town(seed, size=size, gsd=gsd) for seed in range(6)]
        return float(np.mean([(town.target == 254).all(-1).mean() for town in towns]))

    # As much of the ground is street, whatever a pixel measures.
    assert share_of_road(1.05, 256) == pytest.approx(share_of_road(2.1, 128), rel=0.15)


def test_the_outlines_drawn_in_order_are_the_map() -> None:
    town = draw_town(5, size=200, gsd=0.9)
    chart = Image.new("RGB", (400, 400), (254, 254, 254))
    pen = ImageDraw.Draw(chart)
    for colour, shape in town.polygons:
        pen.polygon([value for p in shape for value in (2 * p.real, 2 * p.imag)], fill=colour)
    np.testing.assert_array_equal(np.asarray(chart.reduce(2)), town.target)


def test_the_geojson_has_a_feature_per_outline_with_its_class(tmp_path: Path) -> None:
    write_towns(tmp_path, count=2, size=64, val_fraction=0.5, gsd=0.9, polygons=True)
    found = json.loads((tmp_path / "polygons" / "train" / "00000.geojson").read_text())
    assert found["gsd"] == 0.9
    assert {f["properties"]["class"] for f in found["features"]} <= set(Palette.load("maps").names)
    rings = [feature["geometry"]["coordinates"][0] for feature in found["features"]]
    assert all(ring[0] == ring[-1] for ring in rings)
    write_towns(tmp_path, count=1, size=64, val_fraction=0, gsd=0.9)  # and they go with their towns
    assert not list(tmp_path.glob("polygons/*/*.geojson"))


@pytest.mark.parametrize("gsd", [0.1, 9.0, float("nan")])
def test_a_gsd_at_which_no_town_can_be_drawn_is_refused(gsd: float) -> None:
    with pytest.raises(SettingsError, match=r"a town is drawn at 0\.3 to 4\.2 m per pixel"):
        draw_town(0, gsd=gsd)
