"""Which inputs are rasters, and how the flags for rasters are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from sat2map.cli import data, geo
from sat2map.errors import SettingsError
from sat2map.geo.detect import is_raster, split_inputs


def test_a_plain_photo_is_a_picture_whatever_its_suffix(tmp_path):
    for name in ("a.tif", "a.png", "a.jpg"):
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / name)
        assert not is_raster(str(tmp_path / name))
    assert not is_raster(str(tmp_path / "missing.tif"))


@pytest.mark.parametrize(
    "address", ["https://a.org/o.tif?x=1", "s3://b/o.tif", "/vsicurl/https://a.org/o.tif"]
)
def test_an_address_is_a_raster(address):
    assert is_raster(address)


@pytest.mark.parametrize(
    "profile",
    [{"crs": "EPSG:32633", "transform": None}, {"crs": None, "nodata": 0, "transform": None}, {"crs": None}],
    ids=["crs", "nodata", "transform"],
)
def test_a_tiff_that_says_where_it_lies_is_a_raster(write, profile):
    assert is_raster(str(write(np.zeros((3, 20, 20), np.uint8), **profile)))


def test_sixteen_bits_and_world_files_make_a_raster(write, tmp_path):
    assert is_raster(str(write(np.zeros((3, 20, 20), np.uint16), crs=None, transform=None)))
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "w.tif")
    (tmp_path / "w.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    assert is_raster(str(tmp_path / "w.tif"))


def test_a_folder_is_taken_apart_where_it_holds_rasters(write, tmp_path):
    ortho = write(np.zeros((3, 20, 20), np.uint8))
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "photo.png")
    (tmp_path / "read.me").touch()
    assert split_inputs([str(tmp_path)]) == ([str(ortho)], [str(tmp_path / "photo.png")])
    assert split_inputs([str(tmp_path / "*.tif")]) == ([str(ortho)], [])
    ortho.unlink()
    assert split_inputs([str(tmp_path)]) == ([], [str(tmp_path)])


def test_flags_are_read():
    words = geo.RasterArgs(bands="3,2,1", scale="0,3000", window="1,2,3,4", resolution="0.5")
    options = words.options(overwrite=True)
    assert options.bands == (3, 2, 1)
    assert options.scale == (0.0, 3000.0)
    assert options.window == (1, 2, 3, 4)
    assert options.resolution == 0.5
    assert words.any_given()
    assert not geo.RasterArgs().any_given()


@pytest.mark.parametrize(
    ("flags", "example"),
    [
        ({"bands": "red"}, "--bands 'red' cannot be read: give numbers such as 1,2,3"),
        ({"window": "1,2,3"}, "--window '1,2,3' cannot be read: give 4 numbers"),
        ({"bounds": "a,b,c,d"}, "--bounds"),
        ({"resolution": "fine"}, "--resolution 'fine'"),
        ({"resolution": "-1"}, "--resolution '-1'"),
    ],
)
def test_flags_that_cannot_be_read_are_refused_with_an_example(flags, example):
    with pytest.raises(SettingsError, match=example):
        geo.RasterArgs(**flags).options(overwrite=False)


def test_several_rasters_go_into_a_folder(write, town, tmp_path, straight, capsys):
    sources = [str(write(town[0][:, :64, :64], name)) for name in ("a.tif", "b.tif")]
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"not read here")
    geo.translate_rasters(straight(), model, sources, tmp_path / "out", geo.RasterArgs(), overwrite=False)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.tif", "b.tif"]
    assert "1 tiles" in capsys.readouterr().out
    with rasterio.open(tmp_path / "out" / "a.tif") as file:
        assert len(file.tags()["SAT2MAP_MODEL_SHA256"]) == 64
    with pytest.raises(SettingsError, match="is one file, but there are 2 inputs"):
        geo.translate_rasters(
            straight(), model, sources, tmp_path / "x.tif", geo.RasterArgs(), overwrite=False
        )


def test_the_other_commands_run_as_words_say(tmp_path, capsys):
    scenes = tmp_path / "scenes"
    data._draw_scenes(scenes, count=1, size=128, seed=1)
    ortho, drawn = str(scenes / "00000-ortho.tif"), scenes / "00000-map.tif"
    data.data_from_rasters(
        source=ortho, target=str(drawn), output=tmp_path / "p", size=32, block=64, buffer=0
    )
    geo.vectorize(drawn, output=tmp_path / "m.gpkg")
    geo.tiles(drawn, output=tmp_path / "m.mbtiles", zooms="12-14")
    said = capsys.readouterr().out
    assert "pairs to train on" in said
    assert "road_centre" in said
    assert "zoom 12 to 14" in said
    assert all(Path(tmp_path / name).exists() for name in ("m.gpkg", "m.mbtiles"))
