"""The page *A model of my town*: its commands run one after the other, against a tile server here."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
from PIL import Image

from sat2map.cli.main import main
from sat2map.images.palette import Palette
from sat2map.models.model_file import read_header
from sat2map.synthetic.towns import draw_town

from .conftest import TILES_BOX, ZOOM

osmium: Any = pytest.importorskip("osmium", reason="writes the OpenStreetMap extract")

PAGE = Path(__file__).parents[2] / "docs" / "my-town.md"
TAGS = {"building": {"building": "yes"}, "park": {"leisure": "park"}, "water": {"natural": "water"}}
SHORT = {  # what makes four tiles and a few steps enough; a network of noise would draw 10,000 outlines
    "data from-rasters": "--size 64 --block 192 --buffer 0 --val-fraction 0.3",
    "train default": (
        "--epochs 12 --warmup-steps 0 --learning-rate 0.01 --width 4 --depth 3 --generator unet "
        "--crop-size 32 --batch-size 2 --workers 1 --device cpu --discriminator-width 4 "
        "--discriminator-layers 2 --precision fp32"
    ),
}


def write_extract(path: Path, transform: Any) -> None:
    """Write the drawn town as OpenStreetMap data: its polygons, and a street across."""
    import pyproj

    palette, town = Palette.load("maps"), draw_town(3, size=512)
    to_degrees = pyproj.Transformer.from_crs("EPSG:3857", "OGC:CRS84", always_xy=True)
    with osmium.SimpleWriter(str(path)) as writer:
        ways: list[tuple[list[int], dict[str, str]]] = []
        number = 0

        def add(points: Any, tags: dict[str, str]) -> None:
            nonlocal number
            nodes = []
            for point in points:
                number += 1
                x, y = to_degrees.transform(*(transform @ (point.real, point.imag)))
                writer.add_node(osmium.osm.mutable.Node(id=number, version=1, location=(x, y)))
                nodes.append(number)
            ways.append((nodes + nodes[:1] if "highway" not in tags else nodes, tags))

        for colour, shape in town.polygons:
            name = palette.names[int(palette.classify(np.array([colour], np.uint8))[0])]
            if name in TAGS and len(shape) > 2:
                add(shape, TAGS[name])
        add([complex(0, 256), complex(512, 256)], {"highway": "residential"})
        add([complex(256, 0), complex(256, 512)], {"highway": "primary", "tunnel": "yes"})
        for identity, (nodes, tags) in enumerate(ways, 1):
            writer.add_way(osmium.osm.mutable.Way(id=identity, version=1, nodes=nodes, tags=tags))


def commands() -> list[list[str]]:
    """Return the page's commands."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), flags=re.M | re.S)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


@pytest.fixture
def desk(tile_service: Any, tile_ground: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_extract(folder / "town.osm.pbf", tile_ground[1])
    monkeypatch.setattr("sat2map.evaluation.report.write_run_report", lambda run: run / "report.html")
    return folder


def test_the_page_goes_from_nothing_to_a_layer(
    desk: Path, tile_service: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    box = ",".join(map(str, TILES_BOX))
    ran = 0
    for words in commands():
        if "runs/town-fine" in words:
            continue  # a second training; tests/training has fine-tuning
        assert words[0] == "sat2map"
        words = [
            word.replace("https://tiles.example.org", tile_service.url)
            .replace("{y}.jpg", "{y}.png")
            .replace("13.35,52.50,13.41,52.54", box)
            for word in words[1:]
        ]
        for start, more in SHORT.items():
            if words[:2] == start.split():
                words += shlex.split(more)
        main(words)
        ran += 1
    assert ran == 5
    capsys.readouterr()

    palette = json.loads((desk / "pairs" / "palette.json").read_text())
    names = [one["name"] for one in palette["classes"]]
    assert names == ["land", "water", "park", "building", "road", "highway"]
    header = read_header(desk / "runs" / "town" / "best.safetensors")
    assert header.palette is not None
    assert list(header.palette.names) == names
    assert header.gsd == pytest.approx(0.727, abs=0.002)  # cos 52.516° of 1.1943 m

    with rasterio.open("town.tif") as town, rasterio.open("classes.tif") as classes:
        assert town.crs.to_epsg() == 3857
        assert town.shape == classes.shape == (512, 512)
        assert town.tags()["SAT2MAP_CLASSES"] == "classes.tif"
        assert classes.read(1).max() < len(names)
    layers = {str(name) for name, _ in pyogrio.list_layers("town.gpkg")}
    assert layers & set(names)
    assert json.loads(Path("town.json").read_text())["id"] == "town"


def test_the_pairs_show_the_extract_where_it_lies(desk: Path, tile_service: Any) -> None:
    box = ",".join(map(str, TILES_BOX))
    words = f"--zoom {ZOOM} --bbox {box} --vectors town.osm.pbf --output pairs {SHORT['data from-rasters']}"
    source = tile_service.url + "/{z}/{x}/{y}.png"
    main(["data", "from-rasters", "--source", source, *shlex.split(words)])
    palette = Palette.load("pairs/palette.json")
    truth = Palette.load("maps").classify(draw_town(3, size=512).target)
    right = total = 0
    for path in Path("pairs").glob("*/target/*.png"):
        top, left = map(int, path.stem.split("_"))
        with Image.open(path) as image:
            drawn = palette.classify(np.asarray(image.convert("RGB")))
        expected = truth[top : top + 64, left : left + 64] == Palette.load("maps").index("building")
        right += ((drawn == palette.index("building")) & expected).sum()
        total += expected.sum()
    assert total > 1000
    assert right / total > 0.8  # edges are half land, and small houses have little else
