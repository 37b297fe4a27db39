"""Which inputs are rasters, and how the flags for rasters are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from sat2map.cli.main import main
from sat2map.cli.raster import RasterArgs, translate_rasters
from sat2map.errors import OutputError, SettingsError
from sat2map.geo.detect import is_raster
from sat2map.geo.scenes import write_scenes
from sat2map.inference.image_files import plan_jobs


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


def test_flags_are_read():
    words = RasterArgs(bands="3,2,1", scale="0,3000", window="1,2,3,4", resolution="0.5")
    options = words.options(overwrite=True)
    assert options.bands == (3, 2, 1)
    assert options.scale == (0.0, 3000.0)
    assert options.window == (1, 2, 3, 4)
    assert options.resolution == 0.5
    assert words.any_given()
    assert not RasterArgs().any_given()


@pytest.mark.parametrize(
    ("flags", "example"),
    [
        ({"bands": "red"}, "'red' cannot be read: give numbers such as 1,2,3"),
        ({"window": "1,2,3"}, "'1,2,3' cannot be read: give 4 numbers"),
        ({"bbox": "a,b,c,d"}, "'a,b,c,d' cannot be read"),
        ({"resolution": "fine"}, "'fine' is no resolution"),
        ({"resolution": "-1"}, "'-1' is no resolution"),
    ],
)
def test_options_that_cannot_be_read_are_refused_with_an_example(flags, example):
    with pytest.raises(SettingsError, match=example) as caught:
        RasterArgs(**flags).options(overwrite=False)
    assert caught.value.setting == next(iter(flags))


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not read here")
    return path


def plan(inputs, output, **options):
    return plan_jobs(inputs, output, is_raster=is_raster, **options)


def test_several_rasters_go_into_a_folder(write, town, tmp_path, straight, model_file):
    jobs = plan([write(town[0][:, :64, :64], name) for name in ("a.tif", "b.tif")], tmp_path / "out")
    assert translate_rasters(straight(), model_file, jobs, RasterArgs().options(overwrite=False)) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.tif", "b.tif"]
    with rasterio.open(tmp_path / "out" / "a.tif") as file:
        assert len(file.tags()["SAT2MAP_MODEL_SHA256"]) == 64


def test_one_bad_raster_does_not_stop_the_others(write, town, tmp_path, straight, capsys, model_file):
    sources = [write(town[0][:, :64, :64], name) for name in ("a.tif", "b.tif", "c.tif")]
    sources[0].write_bytes(sources[0].read_bytes()[:2000])
    jobs = plan(sources, tmp_path / "out")
    assert translate_rasters(straight(), model_file, jobs, RasterArgs().options(overwrite=False)) == 1
    assert sorted(p.name for p in (tmp_path / "out").glob("*.tif")) == ["b.tif", "c.tif"]
    assert "a.tif" in capsys.readouterr().err


def test_two_rasters_of_16_bits_are_stretched_as_one_would_be(
    write, tmp_path, straight, model_file, caplog, read
):
    ramp = np.tile(np.linspace(100, 3100, 200).astype(np.uint16), (3, 64, 1))
    sources = [write(ramp[..., :100], "a.tif"), write(ramp[..., 100:], "b.tif")]
    caplog.set_level("INFO")
    jobs = plan(sources, tmp_path / "out")
    assert translate_rasters(straight(), model_file, jobs, RasterArgs().options(overwrite=False)) == 0
    low, high = np.percentile(ramp[0], (2, 98))
    expected = np.rint(np.clip((ramp - low) / (high - low), 0, 1) * 255)
    joined = np.concatenate([read(tmp_path / "out" / f"{name}.tif") for name in "ab"], axis=2)
    assert np.abs(joined - expected).max() <= 1
    assert caplog.text.count("2 inputs hold uint16") == 1


def test_a_resume_keeps_what_is_finished(write, town, tmp_path, straight, model_file):
    sources = [write(town[0][:, :64, :64], name) for name in ("a.tif", "b.tif")]
    options = RasterArgs(resume=True).options(overwrite=False)
    output = tmp_path / "out"
    assert translate_rasters(straight(), model_file, plan(sources[:1], output, resume=True), options) == 0
    before = (output / "a.tif").stat().st_mtime_ns
    jobs = plan(sources, output, resume=True)
    assert translate_rasters(straight(), model_file, jobs, options) == 0
    assert (output / "a.tif").stat().st_mtime_ns == before
    assert (output / "b.tif").exists()
    model_file.write_bytes(b"another model")
    with pytest.raises(OutputError, match="of another source or model"):
        translate_rasters(straight(), model_file, jobs, options)


def test_the_other_commands_run(tmp_path, capsys):
    write_scenes(tmp_path / "scenes", count=1, size=128, seed=1)
    ortho, drawn = tmp_path / "scenes" / "00000-ortho.tif", tmp_path / "scenes" / "00000-map.tif"
    pairs = ["--output", f"{tmp_path}/p", "--size", "32", "--block", "64", "--buffer", "0"]
    for arguments in (
        ["data", "from-rasters", "--source", str(ortho), "--target", str(drawn), *pairs],
        ["vectorize", str(drawn), "--output", f"{tmp_path}/m.gpkg"],
        ["tiles", str(drawn), "--output", f"{tmp_path}/m.mbtiles", "--zooms", "12-14"],
    ):
        main(arguments)
    said = capsys.readouterr().out
    assert "pairs to train on" in said
    assert "road" in said
    assert "zoom 12 to 14" in said
    assert all(Path(tmp_path / name).exists() for name in ("m.gpkg", "m.mbtiles"))


def test_the_map_of_a_service_of_tiles_has_the_name_of_its_host():
    (job,) = plan_jobs(["https://a.org/{z}/{x}/{y}.jpg"], Path("maps"), is_raster=is_raster)
    assert (job.output, job.raster) == (Path("maps/a.org.tif"), "https://a.org/{z}/{x}/{y}.jpg")
