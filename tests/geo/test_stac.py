"""STAC: the item beside a map is valid and true, and items are read."""

from __future__ import annotations

import json

import numpy as np
import pystac
import pytest
import rasterio
from jsonschema import ValidationError
from rasterio.warp import transform_bounds

from sat2map.cli.main import main
from sat2map.errors import ImageError, OutputError, SettingsError
from sat2map.geo.detect import is_raster
from sat2map.geo.find_source import find_source
from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.sources import Place
from sat2map.geo.translate_raster import translate_raster

from .stac_schemas import validate


@pytest.fixture
def item(write, town, tmp_path, random_translator):
    """The item of all outputs of a drawn town."""
    source = write(town[0][:, :130, :170])
    options = RasterOptions(
        classes=tmp_path / "classes.tif", confidence=tmp_path / "confidence.tif",
        probabilities=tmp_path / "odds" / "odds.tif", stac=True,
    )  # fmt: skip
    translate_raster(
        random_translator(), source, tmp_path / "map.tif", options, model=("m.safetensors", "ab")
    )
    return json.loads((tmp_path / "map.json").read_text())


def test_the_item_is_valid_by_the_schemas_of_stac_and_its_extensions(item):
    validate(item)


def test_the_schemas_do_refuse_what_is_wrong(item):
    for change in (
        {"properties": {**item["properties"], "proj:shape": ["tall"]}},
        {"assets": {**item["assets"], "map": {**item["assets"]["map"], "raster:bands": [{"nodata": "x"}]}}},
    ):
        with pytest.raises((ValidationError, pystac.STACError)):
            validate({**item, **change})


def test_the_item_says_where_the_map_lies(item, tmp_path):
    with rasterio.open(tmp_path / "map.tif") as file:
        assert item["properties"]["proj:code"] == f"EPSG:{file.crs.to_epsg()}"
        assert item["properties"]["proj:shape"] == list(file.shape)
        assert item["properties"]["proj:transform"] == list(file.transform)[:6]
        box = transform_bounds(file.crs, "OGC:CRS84", *file.bounds)
    assert item["bbox"] == pytest.approx(box, abs=1e-6)
    assert item["properties"]["gsd"] == pytest.approx(2.1, rel=1e-3)
    xs, ys = zip(*item["geometry"]["coordinates"][0], strict=True)
    assert (min(xs), min(ys), max(xs), max(ys)) == pytest.approx(box, abs=1e-6)


def test_each_asset_is_a_file_that_holds_what_the_item_says(item, tmp_path, random_translator):
    palette = random_translator().header.palette
    assert set(item["assets"]) == {"map", "classes", "confidence", "probabilities"}
    for asset in item["assets"].values():
        with rasterio.open(tmp_path / asset["href"]) as file:
            assert file.count == len(asset["raster:bands"])
            assert {band.get("nodata") for band in asset["raster:bands"]} == {file.nodata}
            assert file.dtypes[0] == asset["raster:bands"][0]["data_type"]
    assert [band["name"] for band in item["assets"]["probabilities"]["raster:bands"]] == list(palette.names)
    classes = item["assets"]["classes"]["classification:classes"]
    assert [(one["value"], one["name"]) for one in classes] == list(enumerate(palette.names))
    assert classes[1]["color_hint"] == "F3F1EB"


def test_a_raster_without_a_place_gets_no_item(write, tmp_path, straight):
    source = write(np.zeros((3, 32, 32), np.uint8), crs=None)
    with pytest.raises(SettingsError, match="no place on Earth that a STAC item could name"):
        translate_raster(straight(), source, tmp_path / "map.tif", RasterOptions(stac=True))


def test_an_item_that_is_there_is_not_replaced(write, tmp_path, straight):
    (tmp_path / "map.json").write_text("mine")
    source = write(np.ones((3, 32, 32), np.uint8))
    with pytest.raises(OutputError, match=r"map\.json exists"):
        translate_raster(straight(), source, tmp_path / "map.tif", RasterOptions(stac=True))
    assert (tmp_path / "map.json").read_text() == "mine"


def stac_file(folder, assets, /, **more):
    """Write an item whose assets are named files."""
    item = pystac.Item("scene", None, None, pystac.utils.str_to_datetime("2026-01-02T03:04:05Z"), {})
    for key, (href, kind, roles) in assets.items():
        item.add_asset(key, pystac.Asset(href, media_type=kind, roles=roles))
    path = folder / "scene.json"
    path.write_text(json.dumps({**item.to_dict(include_self_link=False), **more}))
    return path


ASSETS = {
    "visual": ("./ortho.tif", pystac.MediaType.COG, ["visual"]),
    "B04": ("red.tif", pystac.MediaType.COG, ["data"]),
    "preview": ("preview.jpg", pystac.MediaType.JPEG, ["thumbnail"]),
}


def test_an_item_in_a_file_is_read_at_its_visual_asset(write, town, tmp_path, straight, read):
    write(town[0][:, :64, :64])
    path = stac_file(tmp_path, ASSETS)
    assert is_raster(str(path))
    result = translate_raster(straight(), path, tmp_path / "map.tif")
    assert any("its asset 'visual' is read" in note for note in result.notes)
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), town[0][:, :64, :64])


def test_an_item_is_read_over_http(tile_service, tile_ground, tmp_path, straight, read):
    stac_file(tile_service.folder, ASSETS)
    translate_raster(
        straight(tile=256), f"{tile_service.url}/scene.json", tmp_path / "map.tif",
        RasterOptions(asset="visual", resolution="source"),
    )  # fmt: skip
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), tile_ground[0])
    assert set(tile_service.requests) == {"/scene.json", "/ortho.tif"}


def test_an_absolute_href_wins_over_the_place_of_the_item(tmp_path):
    path = stac_file(tmp_path, {"a": ("https://example.org/x.tif?key=1", pystac.MediaType.COG, ["data"])})
    assert find_source(path, Place()).path == "https://example.org/x.tif?key=1"


@pytest.mark.parametrize(
    ("assets", "asset", "more", "sentence"),
    [
        (ASSETS, "vizual", {}, "has no asset 'vizual', did you mean 'visual'"),
        ({"preview": ASSETS["preview"]}, None, {}, r"no asset that is a raster \(it has preview\)"),
        ({"B04": ASSETS["B04"], "B08": ASSETS["B04"]}, None, {}, "several rasters: B04, B08: name one"),
        (ASSETS, None, {"type": "Collection"}, "is a STAC Collection, not an item"),
        (ASSETS, None, {"assets": []}, "it has no assets"),
    ],
)
def test_an_item_that_cannot_be_used_is_one_sentence(tmp_path, assets, asset, more, sentence):
    with pytest.raises((SettingsError, ImageError), match=sentence):
        find_source(stac_file(tmp_path, assets, **more), Place(asset=asset))


def test_an_address_that_is_no_item_is_one_sentence(tile_service, capsys):
    (tile_service.folder / "page.json").write_text("<html>")
    for name, sentence in (("page.json", "no JSON, and so no STAC item"), ("none.json", "status 404")):
        with pytest.raises(SystemExit) as stop:
            main(["translate", f"{tile_service.url}/{name}", "--output", "map.tif"])
        assert stop.value.code == 2
        assert sentence in capsys.readouterr().err
