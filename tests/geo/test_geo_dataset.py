"""Pairs cut from rasters and vectors: aligned, split by ground, and ready to train on."""

from __future__ import annotations

import csv
import itertools
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from rasterio.enums import ColorInterp, Resampling
from rasterio.warp import calculate_default_transform, reproject

from sat2map.data.pairs import find_pairs
from sat2map.errors import DataError, OutputError, SettingsError
from sat2map.geo.dataset import PairOptions, write_pairs
from sat2map.geo.scenes import write_scenes
from sat2map.images.pixels import read_image

OPTIONS = PairOptions(size=32, stride=32, block=96, buffer=0, val_fraction=0.3)


def table(folder):
    with (folder / "pairs.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def both(write, town):
    return write(town[0]), write(town[1], "map.tif")


def test_tiles_are_cut_from_both_at_the_same_place(both, town, tmp_path):
    result = write_pairs(both[0], tmp_path / "p", OPTIONS, target=both[1])
    rows = table(tmp_path / "p")
    assert len(rows) == result.train + result.val > 40
    for row in rows:
        left, top = ~Affine(2.1, 0, 400_000, 0, -2.1, 5_000_000) @ (float(row["left"]), float(row["top"]))
        y, x = round(top), round(left)
        for side, image in (("source", town[0]), ("target", town[1])):
            expected = np.moveaxis(image[:, y : y + 32, x : x + 32], 0, -1)
            np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "p" / row[side])), expected)
        assert row["crs"] == "EPSG:32633"


def test_the_folder_is_a_data_set(both, tmp_path):
    result = write_pairs(both[0], tmp_path / "p", OPTIONS, target=both[1])
    pairs = find_pairs(tmp_path / "p", group_column="block").pairs
    assert (len(pairs["train"]), len(pairs["val"])) == (result.train, result.val)
    assert not {p.group for p in pairs["train"]} & {p.group for p in pairs["val"]}


@pytest.mark.parametrize("buffer", [0, 20])
def test_train_and_val_share_no_ground_and_keep_their_distance(both, tmp_path, buffer):
    options = PairOptions(size=32, stride=16, block=96, buffer=buffer, val_fraction=0.3)
    write_pairs(both[0], tmp_path / "p", options, target=both[1])
    boxes: dict[str, list[Any]] = {"train": [], "val": []}
    for row in table(tmp_path / "p"):
        boxes[row["split"]].append([float(row[edge]) for edge in ("left", "bottom", "right", "top")])
    assert boxes["train"]
    assert boxes["val"]
    for a, b in itertools.product(boxes["train"], boxes["val"]):
        gap = max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])
        assert gap >= buffer * 2.1 - 1e-6


def test_a_map_in_another_crs_is_laid_over_the_orthophoto(both, town, tmp_path):
    with rasterio.open(both[1]) as file:
        transform, width, height = calculate_default_transform(
            file.crs, "EPSG:3857", file.width, file.height, *file.bounds, resolution=0.7
        )
        moved = np.zeros((3, height, width), np.uint8)
        reproject(rasterio.band(file, (1, 2, 3)), moved, dst_transform=transform, dst_crs="EPSG:3857",
                  resampling=Resampling.nearest)  # fmt: skip
    with rasterio.open(tmp_path / "web.tif", "w", driver="GTiff", count=3, height=height, width=width,
                       dtype="uint8", crs="EPSG:3857", transform=transform) as file:  # fmt: skip
        file.write(moved)
    options = PairOptions(size=64, stride=64, block=64, buffer=0, val_fraction=0.3)
    write_pairs(both[0], tmp_path / "a", options, target=both[1])
    result = write_pairs(both[0], tmp_path / "b", options, target=tmp_path / "web.tif")
    assert result.train > 8
    for path in (tmp_path / "b").glob("*/target/*.png"):
        straight = np.asarray(Image.open(tmp_path / "a" / path.relative_to(tmp_path / "b"))).astype(int)
        assert np.abs(np.asarray(Image.open(path)) - straight).mean() < 3


def test_another_resolution_resamples_both(both, tmp_path):
    options = PairOptions(size=32, stride=32, block=64, buffer=0, resolution=4.2)
    write_pairs(both[0], tmp_path / "p", options, target=both[1])
    for row in table(tmp_path / "p"):
        assert float(row["right"]) - float(row["left"]) == pytest.approx(32 * 4.2, rel=0.01)


def test_tiles_with_nodata_or_nothing_on_the_map_are_left_out(write, town, tmp_path):
    source, target = town[0].copy(), town[1].copy()
    source[:, :40, :40] = 0
    target[:, :, 256:] = 230
    ortho = write(np.where(source == 0, 0, np.maximum(source, 1)).astype(np.uint8), nodata=0)
    result = write_pairs(
        ortho, tmp_path / "p", PairOptions(size=32, stride=32, block=96, buffer=0, val_fraction=0),
        target=write(target, "map.tif"),
    )  # fmt: skip
    assert result.nodata == 1  # wholly without data
    assert result.partial == 3
    assert result.empty >= 9
    assert result.val == 0


def test_ground_beyond_the_map_is_left_out(write, town, tmp_path):
    result = write_pairs(write(town[0]), tmp_path / "p", OPTIONS, target=write(town[1][:, :150], "map.tif"))
    assert result.nodata > 30
    tops = [int(p.name[:6]) for p in (tmp_path / "p").glob("*/target/*.png")]
    assert max(tops) == 128  # 22 of its 32 rows lie on the map


def test_pixels_without_data_are_marked_as_ignored_and_kept_out_of_the_labels(write, town, tmp_path):
    source, target = np.maximum(town[0], 1), np.maximum(town[1], 1)
    source[:, :40, :40] = 0
    target[:, 100:120, 200:] = 0
    write_pairs(write(source, nodata=0), tmp_path / "p", OPTIONS, target=write(target, "map.tif", nodata=0))
    valid = (source > 0).any(axis=0) & (target > 0).any(axis=0)
    marked = 0
    for row in table(tmp_path / "p"):
        left, top = ~Affine(2.1, 0, 400_000, 0, -2.1, 5_000_000) @ (float(row["left"]), float(row["top"]))
        there = valid[round(top) : round(top) + 32, round(left) : round(left) + 32]
        picture = read_image(tmp_path / "p" / row["target"])
        if there.all():
            assert picture.alpha is None
        else:
            marked += 1
            np.testing.assert_array_equal(picture.alpha, np.where(there, 255, 0))
            here = target[:, round(top) : round(top) + 32, round(left) : round(left) + 32]
            np.testing.assert_array_equal(picture.pixels[there], np.moveaxis(here, 0, -1)[there])
    assert marked >= 3


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
def test_class_numbers_of_any_type_are_kept(write, town, tmp_path, dtype):
    y, x = np.mgrid[: town[0].shape[1], : town[0].shape[2]]
    numbers = ((x // 20 + y // 20) % 5).astype(dtype)[None]
    write_pairs(write(town[0]), tmp_path / "p", OPTIONS, target=write(numbers, "map.tif"))
    for row in table(tmp_path / "p"):
        left, top = ~Affine(2.1, 0, 400_000, 0, -2.1, 5_000_000) @ (float(row["left"]), float(row["top"]))
        expected = numbers[0, round(top) : round(top) + 32, round(left) : round(left) + 32]
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "p" / row["target"])), expected)


@pytest.mark.parametrize(("dtype", "value"), [("int16", -1), ("uint16", 300), ("float32", 1.5)])
def test_numbers_that_are_no_classes_are_refused(write, town, tmp_path, dtype, value):
    numbers = np.ones((1, *town[0].shape[1:]), dtype)
    numbers[0, 5, 5] = value
    with pytest.raises(DataError, match=rf"holds {value} \(({dtype}|float64)\), which is no class number"):
        write_pairs(write(town[0]), tmp_path / "p", OPTIONS, target=write(numbers, "map.tif"))
    assert not (tmp_path / "p").exists()


def test_colours_of_16_bits_are_refused(write, town, tmp_path):
    with pytest.raises(DataError, match="holds colours of uint16"):
        write_pairs(
            write(town[0]), tmp_path / "p", OPTIONS, target=write(town[1].astype(np.uint16), "map.tif")
        )


@pytest.mark.parametrize("bands", [1, 3])
def test_an_alpha_band_of_a_map_is_its_mask_whatever_the_number_of_bands(write, town, tmp_path, bands):
    drawn = town[1][:bands] if bands == 3 else (town[1][:1] > 235).astype(np.uint8)
    alpha = np.full((1, *town[0].shape[1:]), 255, np.uint8)
    alpha[0, 64:80] = 0
    path = write(np.concatenate([drawn, alpha]), "map.tif")
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [*file.colorinterp[:bands], ColorInterp.alpha]
    result = write_pairs(write(town[0]), tmp_path / "p", OPTIONS, target=path)
    assert result.partial > 0
    for row in table(tmp_path / "p"):
        left, top = ~Affine(2.1, 0, 400_000, 0, -2.1, 5_000_000) @ (float(row["left"]), float(row["top"]))
        there = alpha[0, round(top) : round(top) + 32, round(left) : round(left) + 32] > 0
        picture = read_image(tmp_path / "p" / row["target"])
        here = drawn[:, round(top) : round(top) + 32, round(left) : round(left) + 32]
        np.testing.assert_array_equal(picture.pixels[there], np.moveaxis(here, 0, -1)[there])
        assert (picture.alpha is None) == there.all()


# vectors


def square(x, y, side):
    """A box whose corner lies at column x and row y of the orthophoto."""
    left, top = 400_000 + 2.1 * x, 5_000_000 - 2.1 * y
    return shapely.box(left, top - 2.1 * side, left + 2.1 * side, top)


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "osm.gpkg"
    street = shapely.LineString([(400_000, 4_999_790), (400_700, 4_999_790)])
    water = '"x"=>"1","natural"=>"water"'
    shapes = {
        "multipolygons": ([square(40, 40, 20), square(0, 100, 60)], ["yes", None], [None, water]),
        "lines": ([street], [None], ['"highway"=>"residential"']),
    }
    for layer, (geometries, building, tags) in shapes.items():
        pyogrio.raw.write(path, shapely.to_wkb(geometries), [np.array(v, object) for v in (building, tags)],
                          ["building", "other_tags"], layer=layer, driver="GPKG", crs="EPSG:32633",
                          geometry_type=geometries[0].geom_type)  # fmt: skip
    return path


def drawn(folder):
    """The map put together again, uint8 (h, w, 3)."""
    whole = np.zeros((288, 288, 3), np.uint8)
    for path in folder.glob("*/target/*.png"):
        y, x = int(path.name[:6]), int(path.stem[7:])
        whole[y : y + 96, x : x + 96] = np.asarray(Image.open(path))
    return whole


def test_vectors_are_drawn_where_they_lie_in_the_colours_of_the_style(write, town, tmp_path, vectors):
    options = PairOptions(size=96, stride=96, block=96, buffer=0, val_fraction=0.3)
    write_pairs(write(town[0]), tmp_path / "p", options, vectors=vectors)
    whole = drawn(tmp_path / "p")
    assert (whole[41:59, 41:59] == (243, 241, 235)).all()  # the building
    assert (whole[105:155, 1:59] == (177, 208, 254)).all()  # the water, which stands in other_tags
    assert whole[39, 50].tolist() == [232, 229, 223]
    # A residential street is 9 m wide: 9 / 2.1 px, with the background in between.
    share = (whole[90:110, 80].astype(float) - (232, 229, 223)) / (
        np.array((254, 254, 254)) - (232, 229, 223)
    )
    assert share.mean(axis=1).sum() == pytest.approx(9 / 2.1, abs=0.3)


def test_vectors_of_another_crs_and_an_own_style(write, town, tmp_path):
    style = tmp_path / "style.toml"
    style.write_text(
        'background = "#000000"\n[[layer]]\ngeometry = "polygon"\nfill = "#ff0000"\ncasing = 4.2\n'
        'casing_fill = "#00ff00"\n'
    )
    moved = shapely.transform(
        square(40, 40, 20), lambda xy: np.array(rasterio.warp.transform("EPSG:32633", "EPSG:4326", *xy.T)).T
    )
    pyogrio.raw.write(
        tmp_path / "v.geojson", shapely.to_wkb([moved]), [np.array([1])], ["n"], crs="EPSG:4326",
        geometry_type="Polygon",
    )  # fmt: skip
    options = PairOptions(size=96, stride=96, block=96, buffer=0, val_fraction=0)
    write_pairs(write(town[0]), tmp_path / "p", options, vectors=tmp_path / "v.geojson", style=style)
    whole = drawn(tmp_path / "p")
    assert (whole[42:58, 42:58] == (255, 0, 0)).all()
    assert whole[50, 39].tolist() == [0, 255, 0]
    assert whole[50, 36].tolist() == [0, 0, 0]


def test_openstreetmap_files_are_read(write, town, tmp_path):
    corners = shapely.get_coordinates(square(40, 40, 20))[:4].T
    nodes = zip(*rasterio.warp.transform("EPSG:32633", "EPSG:4326", *corners), strict=True)
    text = "".join(f'<node id="{i}" lon="{x}" lat="{y}" version="1"/>' for i, (x, y) in enumerate(nodes, 1))
    ring = "".join(f'<nd ref="{i}"/>' for i in (1, 2, 3, 4, 1))
    (tmp_path / "o.osm").write_text(
        f'<osm version="0.6">{text}<way id="9" version="1">{ring}<tag k="building" v="house"/></way></osm>'
    )
    options = PairOptions(size=96, stride=96, block=96, buffer=0, val_fraction=0)
    write_pairs(write(town[0]), tmp_path / "p", options, vectors=tmp_path / "o.osm")
    assert (drawn(tmp_path / "p")[42:58, 42:58] == (243, 241, 235)).all()


# refusals


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (PairOptions(size=8), "16 px or more"),
        (PairOptions(size=32, block=32, buffer=8), "leaves no room for a tile"),
        (PairOptions(size=32, block=1000, buffer=8), "which cannot be split into train and val"),
        (PairOptions(size=32, val_fraction=1.0), "val_fraction is 1.0"),
        (PairOptions(size=512, stride=512, block=1024, val_fraction=0), "smaller than one tile"),
    ],
)
def test_options_that_do_not_fit(both, tmp_path, options, words):
    with pytest.raises((SettingsError, DataError), match=words):
        write_pairs(both[0], tmp_path / "p", options, target=both[1])
    assert not (tmp_path / "p").exists()
    assert not list(tmp_path.glob(".*"))


def test_bad_files(both, write, town, tmp_path, vectors):
    (tmp_path / "text.gpkg").write_text("hello")
    (tmp_path / "style.toml").write_text('[[layer]]\ngeometry = "polygon"\nfill = "blue"\n')
    nowhere = write(town[1], "nowhere.tif", crs=None, transform=None)
    elsewhere = write(town[0], "elsewhere.tif", transform=Affine(2.1, 0, 500_000, 0, -2.1, 5_000_000))
    for words, given in [
        ("cannot be read as vectors", {"vectors": tmp_path / "text.gpkg"}),
        ("'blue' is no colour", {"vectors": vectors, "style": tmp_path / "style.toml"}),
        ("no.toml cannot be read", {"vectors": vectors, "style": tmp_path / "no.toml"}),
        ("has no CRS", {"target": nowhere}),
        ("give a target raster or vectors, not both", {}),
        ("no pair could be cut", {"target": elsewhere}),
    ]:
        with pytest.raises((DataError, SettingsError), match=words):
            write_pairs(both[0], tmp_path / "p", OPTIONS, **given)
    with pytest.raises(DataError, match="has nothing where the orthophoto lies"):
        write_pairs(elsewhere, tmp_path / "p", OPTIONS, vectors=vectors)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "mine").touch()
    with pytest.raises(OutputError, match="not empty"):
        write_pairs(both[0], tmp_path / "p", OPTIONS, target=both[1])


def test_the_real_orthophoto_and_its_buildings(shared, tmp_path):
    ortho = next((p for p in shared if "austin" in p.name and "epsg" in p.name), None)
    if ortho is None:
        pytest.skip("not among these")
    mask = ortho.with_name("inria_austin_0.3m_buildings.tif")
    result = write_pairs(
        ortho, tmp_path / "p", PairOptions(size=128, stride=128, block=256, buffer=0), target=mask
    )
    assert result.train > 20
    assert result.val > 0


# scenes


def test_scenes_lie_side_by_side_and_go_through(tmp_path, straight):
    from sat2map.geo.translate_raster import translate_raster

    files = write_scenes(tmp_path / "s", count=2, size=64, seed=3)
    assert [p.name for p in files] == ["00000-ortho.tif", "00000-map.tif", "00001-ortho.tif", "00001-map.tif"]
    with rasterio.open(files[0]) as a, rasterio.open(files[1]) as b, rasterio.open(files[2]) as c:
        assert a.transform == b.transform
        assert a.bounds.right == pytest.approx(c.bounds.left)
        assert a.crs.to_epsg() == 32633
    translate_raster(straight(), files[0], tmp_path / "m.tif")
    with pytest.raises(OutputError, match="not empty"):
        write_scenes(tmp_path / "s", count=1, size=64, seed=3)
