"""A style of one's own: its classes reach the pairs, the model and the map; vectors of any kind."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from sat2map.data.beside import gsd_beside, palette_beside
from sat2map.data.shards import pack
from sat2map.errors import DataError, SettingsError
from sat2map.geo.dataset import PairOptions, write_pairs
from sat2map.geo.draw import VectorMap
from sat2map.geo.grid import GeoGrid
from sat2map.geo.sources import Place
from sat2map.geo.style import Style, load_style
from sat2map.images.palette import Palette
from sat2map.models.model_file import read_header

UTM = GeoGrid(CRS.from_epsg(32633), Affine(1, 0, 4e5, 0, -1, 5.8e6), 200, 300)
OPTIONS = PairOptions(size=32, stride=32, block=96, buffer=0, val_fraction=0.3)
MINE = """
background = "#f0ece0"
background_class = "ground"

[[layer]]
name = "house"
geometry = "polygon"
fill = "#aa3311"

[[layer]]
name = "lane"
class = "way"
geometry = "line"
fill = "#222222"
casing = 2.0
casing_fill = "#888888"
"""


def rectangle(left, top, right, bottom):
    """Return a polygon of pixels of the grid `UTM`."""
    return shapely.box(4e5 + left, 5.8e6 - bottom, 4e5 + right, 5.8e6 - top)


def frame(geometries, **columns):
    return geopandas.GeoDataFrame(columns, geometry=geometries, crs="EPSG:32633")


@pytest.fixture
def style(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    return path


@pytest.fixture
def labels(tmp_path):
    """Outlines that have nothing but an `osm_id`."""
    boxes = [rectangle(x, y, x + 25, y + 20) for x in range(5, 290, 50) for y in range(5, 190, 40)]
    frame(boxes, osm_id=[str(number) for number in range(len(boxes))]).to_file(tmp_path / "labels.gpkg")
    return tmp_path / "labels.gpkg"


@pytest.fixture
def ortho(write):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 200, 300), dtype=np.uint8)
    return write(pixels, transform=UTM.transform)


def test_a_style_names_its_classes_by_colour():
    palette = Style.model_validate(
        {
            "background": "#ffffff",
            "background_class": "ground",
            "layer": [
                {"name": "sea", "class": "water", "geometry": "polygon", "fill": "#0000ff"},
                {"name": "river", "geometry": "line", "fill": "#0000ff"},
                {
                    "name": "lane",
                    "geometry": "line",
                    "fill": "#222222",
                    "casing": 1,
                    "casing_fill": "#888888",
                },
                {"name": "plaza", "class": "lane", "geometry": "polygon", "fill": "#333333"},
            ],
        }
    ).palette("mine")
    assert palette.name == "mine"
    assert {one.name: one.colours for one in palette.classes} == {
        "ground": ((255, 255, 255),),
        "water": ((0, 0, 255),),
        "lane": ((34, 34, 34), (136, 136, 136), (51, 51, 51)),
    }


def test_one_colour_of_two_classes_is_refused():
    layers = [{"class": name, "geometry": "polygon", "fill": "#0000ff"} for name in ("sea", "lake")]
    with pytest.raises(SettingsError, match="'lake', but its colour #0000ff is that of 'sea'"):
        Style.model_validate({"layer": layers}).palette("mine")


def test_the_web_style_has_the_classes_of_the_palette_maps():
    web, overture = (load_style(path).palette("web") for path in (None, "overture"))
    assert set(web.names) == set(overture.names) == set(Palette.load("maps").names)
    for one in web.classes:
        assert Palette.load("maps").classify(np.array(one.colours, np.uint8)).tolist() == [
            Palette.load("maps").index(one.name)
        ] * len(one.colours)


def test_labels_without_tags_are_drawn_by_a_style_without_where(ortho, labels, style, tmp_path):
    result = write_pairs(ortho, tmp_path / "p", OPTIONS, vectors=labels, style=style)
    assert result.train > 10
    palette = Palette.load(tmp_path / "p" / "palette.json")
    assert (palette.name, palette.names) == ("mine", ("ground", "house", "way"))
    colours = set()
    for path in (tmp_path / "p").glob("*/target/*.png"):
        with Image.open(path) as image:
            colours |= set(map(tuple, np.asarray(image.convert("RGB")).reshape(-1, 3)))
    assert {(0xAA, 0x33, 0x11), (0xF0, 0xEC, 0xE0)} <= colours


def test_labels_that_lack_the_fields_of_the_style_are_refused_with_what_to_do(labels):
    with pytest.raises(DataError, match=r"none of the fields .* \(it has osm_id\)") as caught:
        VectorMap(labels, load_style(None), UTM)
    assert "one without `where` draws all features" in caught.value.hint


def test_a_layer_is_chosen_by_its_name(tmp_path):
    path = tmp_path / "v.gpkg"
    frame([rectangle(0, 0, 50, 50)]).to_file(path, layer="houses")
    frame([rectangle(100, 100, 150, 150)]).to_file(path, layer="ponds")
    style = Style.model_validate(
        {"layer": [{"geometry": "polygon", "fill": "#ff0000", "where": {"@layer": ["ponds"]}}]}
    )
    red = (VectorMap(path, style, UTM).draw(UTM) == np.array([255, 0, 0])[:, None, None]).all(axis=0)
    assert red.sum() == 50 * 50
    assert red[100:150, 100:150].all()


@pytest.fixture
def overture(tmp_path):
    """A folder in Overture's layout, with the box of each feature."""
    parts = {
        "theme=buildings/type=building": frame(
            [rectangle(10, 10, 60, 60), rectangle(70, 10, 90, 30), rectangle(5000, 0, 5050, 50)],
            is_underground=[False, True, False],
        ),
        "theme=base/type=water": frame([rectangle(100, 100, 150, 150)], subtype=["lake"]),
        "theme=transportation/type=segment": frame(
            [shapely.LineString([(4e5 + 200, 5.8e6 - 10), (4e5 + 200, 5.8e6 - 190)])],
            **{"class": ["residential"], "names": [{"primary": "Lane"}]},
        ),
    }
    for name, part in parts.items():
        folder = tmp_path / "overture" / name
        folder.mkdir(parents=True)
        part.to_crs("OGC:CRS84").to_parquet(folder / "part-0.parquet", write_covering_bbox=True)
    return tmp_path / "overture"


def test_a_folder_of_overture_is_drawn_in_its_style(overture):
    drawn = VectorMap(overture, load_style("overture"), UTM).draw(UTM)
    classes = Palette.load("maps").classify(np.moveaxis(drawn, 0, -1))
    index = Palette.load("maps").index
    assert (classes[12:58, 12:58] == index("building")).all()
    assert not (classes[10:30, 70:90] == index("building")).any()  # below the ground
    assert (classes[102:148, 102:148] == index("water")).all()
    assert (classes[20:180, 197:203] == index("road")).all()
    assert (classes == index("road")).sum() == pytest.approx(180 * 9, rel=0.1)  # 9 m wide, round ends


@pytest.mark.parametrize("with_box", [True, False])
def test_geoparquet_is_read_as_a_geopackage_is(tmp_path, with_box):
    part = frame([rectangle(10, 10, 60, 60), rectangle(90, 10, 190, 95)], kind=["a", "b"]).to_crs(
        "EPSG:25833"
    )
    part.to_file(tmp_path / "v.gpkg")
    part.to_parquet(tmp_path / "v.parquet", write_covering_bbox=with_box)
    style = Style.model_validate(
        {"layer": [{"geometry": "polygon", "fill": "#ff0000", "where": {"kind": ["b"]}}]}
    )
    box, parquet = (VectorMap(tmp_path / name, style, UTM).draw(UTM) for name in ("v.gpkg", "v.parquet"))
    np.testing.assert_array_equal(box, parquet)
    assert (box[0] == 255).sum() == 100 * 85


def test_a_parquet_file_without_geometries_is_refused(tmp_path):
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"a": [1]}).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "d.parquet").write_bytes(b"PAR1 and no more")
    for name, sentence in (("t.parquet", "is no GeoParquet"), ("d.parquet", "cannot be read as Parquet")):
        with pytest.raises(DataError, match=sentence):
            VectorMap(tmp_path / name, load_style(None), UTM)


def test_pairs_say_their_metres_per_pixel(ortho, labels, style, tmp_path):
    options = PairOptions(size=32, stride=32, block=64, buffer=0, resolution=2.0)
    write_pairs(ortho, tmp_path / "p", options, vectors=labels, style=style)
    with (tmp_path / "p" / "pairs.csv").open() as file:
        assert [float(row["gsd"]) for row in csv.DictReader(file)] == pytest.approx([2.0] * 12, rel=1e-3)
    assert gsd_beside(tmp_path / "p") == pytest.approx(2.0, rel=1e-3)
    assert palette_beside(tmp_path / "p") == tmp_path / "p" / "palette.json"
    pack(tmp_path / "p", tmp_path / "packed")
    assert palette_beside(tmp_path / "packed") is not None


def test_the_pairs_of_a_map_that_sat2map_drew_have_its_palette(ortho, write, tmp_path):
    palette = Palette.load("high-contrast")
    pixels = palette.colourise(np.random.default_rng(1).integers(0, 3, (200, 300), dtype=np.uint8))
    target = write(np.moveaxis(pixels, -1, 0), "map.tif", transform=UTM.transform)
    with rasterio.open(target, "r+") as file:
        file.update_tags(SAT2MAP_PALETTE=" ".join(palette.to_json().split()))
    write_pairs(ortho, tmp_path / "p", OPTIONS, target=target)
    assert Palette.load(tmp_path / "p" / "palette.json") == palette


def test_pairs_are_cut_in_a_box_or_in_polygons(ortho, labels, style, tmp_path):
    whole = write_pairs(ortho, tmp_path / "whole", OPTIONS, vectors=labels, style=style)
    box = Place((4e5, 5.8e6 - 192, 4e5 + 192, 5.8e6))
    cut = PairOptions(**{**vars(OPTIONS), "place": box})
    part = write_pairs(ortho, tmp_path / "part", cut, vectors=labels, style=style)
    assert part.train + part.val == 36
    assert whole.train + whole.val == 54
    frame([rectangle(0, 0, 96, 192)]).to_file(tmp_path / "aoi.geojson")
    area = PairOptions(**{**vars(OPTIONS), "aoi": tmp_path / "aoi.geojson"})
    few = write_pairs(ortho, tmp_path / "few", area, vectors=labels, style=style)
    assert few.train + few.val == 18
    for path in (tmp_path / "few").glob("*/source/*.png"):
        assert path.read_bytes() == next((tmp_path / "whole").glob(f"*/source/{path.name}")).read_bytes()


def test_a_model_trained_on_the_pairs_has_the_names_of_the_style_everywhere(ortho, labels, style, tmp_path):
    write_pairs(ortho, tmp_path / "p", OPTIONS, vectors=labels, style=style)

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "sat2map", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    said = run(
        "train", "rgb", "--data", "p", "--run", "run", "--epochs", "1", "--image-size", "16",
        "--load-size", "16", "--crop-size", "16", "--width", "4", "--depth", "2", "--batch-size", "2",
        "--discriminator-layers", "1",
        "--workers", "1", "--device", "cpu",
    )  # fmt: skip
    assert "the map classes are those of p/palette.json" in said
    about = run("info", "run/best.safetensors")
    assert all(name in about for name in ("ground", "house", "way"))
    gsd = read_header(tmp_path / "run" / "best.safetensors").gsd
    assert gsd == pytest.approx(2, rel=1e-3)  # pairs of 1 m, shown to the network at half their size
    run(
        "translate", str(ortho), "--model", "run/best.safetensors", "--output", "map.tif", "--classes",
        "classes.tif", "--resolution", "source", "--stac",
    )  # fmt: skip
    assert "<Category>house</Category>" in (tmp_path / "classes.tif.aux.xml").read_text()
    assert 'label="way"' in (tmp_path / "classes.qml").read_text()
    item = json.loads((tmp_path / "map.json").read_text())
    classes = item["assets"]["classes"]["classification:classes"]
    assert [one["title"] for one in classes] == ["ground", "house", "way"]
