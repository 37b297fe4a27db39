"""What is bad is refused in one sentence, and nothing half-written has a final name."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from sat2map.errors import ImageError, ModelFileError, OutputError, SettingsError
from sat2map.geo import gdal, scaled
from sat2map.geo import raster as reading
from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.read import open_raster
from sat2map.geo.strips import StripReader
from sat2map.geo.translate_raster import translate_raster
from sat2map.inference.tiling import Area, Grid


def refused(kind, words, translator, source, output, **options):
    """Check for one sentence, and that nothing is left behind."""
    before = {p: p.read_bytes() for p in output.parent.iterdir() if p.is_file()}
    with pytest.raises(kind, match=words) as caught:
        translate_raster(translator, source, output, RasterOptions(**options))
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 420
    assert {p: p.read_bytes() for p in output.parent.iterdir() if p.is_file()} == before
    assert not list(output.parent.glob(".*.parts"))


def test_a_truncated_file(write, town, tmp_path, straight):
    source = write(town[0], compress="deflate")
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    with pytest.raises(ImageError, match=r"cannot be read in rows \d+ to \d+ .*truncated or damaged"):
        translate_raster(straight(tile=64), source, tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()


def test_a_file_that_is_no_raster(tmp_path, straight):
    (tmp_path / "text.tif").write_text("hello")
    refused(
        ImageError, "cannot be opened as a raster", straight(), tmp_path / "text.tif", tmp_path / "map.tif"
    )


def test_a_file_that_is_not_there(tmp_path, straight):
    refused(ImageError, "no.tif does not exist", straight(), tmp_path / "no.tif", tmp_path / "map.tif")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bands": (1, 2, 4)}, "has 3 bands, and no band 4: bands count from 1"),
        ({"bands": (0, 1, 2)}, "no band 0"),
        ({"bands": (1, 2)}, "2 bands are chosen, but this model takes 3"),
        ({"scale": (0.0, 1.0, 2.0)}, "the scale has 3 numbers"),
        ({"scale": (5.0, 5.0)}, "lowest value must be below"),
        ({"window": (0, 0, 301, 10)}, "does not lie in .* which is 300×300 px"),
        ({"window": (-1, 0, 10, 10)}, "does not lie"),
        (
            {"bbox": (0.0, 0.0, 1.0, 1.0)},
            "lies outside .*, whose left, bottom, right, top are 400000, 4999370",
        ),
        ({"bbox": (0.0, 0.0, 1.0, 1.0), "window": (0, 0, 9, 9)}, "a window and a box"),
        ({"resolution": 500.0}, "at 500 m a pixel: the smallest"),
    ],
)
def test_options_that_do_not_fit(write, town, tmp_path, straight, options, words):
    refused((SettingsError, ImageError), words, straight(), write(town[0]), tmp_path / "map.tif", **options)


def test_metres_of_a_raster_that_lies_nowhere(write, town, tmp_path, straight):
    source = write(town[0], crs=None, transform=None)
    refused(SettingsError, "has no CRS", straight(), source, tmp_path / "map.tif", resolution=2.0)


def test_complex_numbers(write, tmp_path, straight):
    refused(
        ImageError,
        "complex numbers",
        straight(),
        write(np.ones((3, 64, 64), np.complex64)),
        tmp_path / "map.tif",
    )


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_nothing_but_nodata(write, tmp_path, straight, kind):
    source = write(np.zeros((3, 64, 64), kind), nodata=0)
    refused(ImageError, "valid pixel", straight(), source, tmp_path / "map.tif")


def test_nothing_but_nodata_in_the_window(write, town, tmp_path, straight):
    pixels = np.maximum(town[0], 1)
    pixels[:, :, :200] = 0
    source = write(pixels, nodata=0)
    refused(
        ImageError, "no valid pixel there", straight(), source, tmp_path / "map.tif", window=(0, 0, 64, 64)
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 100_000), (100_000, 1), (15, 300)])
def test_a_raster_too_thin_to_show_anything(write, tmp_path, straight, shape):
    source = write(np.full((3, *shape), 9, np.uint8))
    words = f"is {shape[1]}×{shape[0]} px: the smallest that can be translated is 16×16"
    refused(ImageError, words, straight(), source, tmp_path / "map.tif")


def test_too_few_bands(write, town, tmp_path, straight):
    refused(
        ImageError,
        "has 2 bands where 3 are needed",
        straight(),
        write(town[0][:2]),
        tmp_path / "map.tif",
    )


def test_an_output_that_is_the_input(write, town, tmp_path, straight):
    source = write(town[0])
    (tmp_path / "link.tif").symlink_to(source)
    for output in (source, tmp_path / "link.tif"):
        refused(OutputError, "is the input", straight(), source, output, overwrite=True)


def test_an_output_that_exists(write, town, tmp_path, straight, read):
    (tmp_path / "map.tif").write_bytes(b"mine")
    source = write(town[0])
    refused(OutputError, "exists: choose another name", straight(), source, tmp_path / "map.tif")
    translate_raster(straight(), source, tmp_path / "map.tif", RasterOptions(overwrite=True))
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), town[0])


def test_an_output_of_another_kind_and_one_name_twice(write, town, tmp_path, straight):
    source = write(town[0])
    refused(OutputError, "must end in .tif", straight(), source, tmp_path / "map.png")
    refused(
        OutputError, "named for two", straight(), source, tmp_path / "m.tif", confidence=tmp_path / "m.tif"
    )


def test_classes_of_a_model_without_a_class_head(write, town, tmp_path, straight):
    refused(
        ModelFileError,
        "no map classes",
        straight(),
        write(town[0]),
        tmp_path / "m.tif",
        classes=tmp_path / "c.tif",
    )


# a disk that fills


FULL_DISK = """
    import resource, sys
    import numpy as np
    from sat2map.errors import OutputError
    from sat2map.geo.raster_job import RasterOptions
    from sat2map.geo.translate_raster import translate_raster
    from sat2map.models.model_file import ModelHeader
    from sat2map.models.architectures.spec import GeneratorSpec
    from sat2map.inference import Translator

    class Same:
        name = "same"
        header = ModelHeader(generator=GeneratorSpec(depth=3), max_untiled_size=128)
        def __call__(self, source):
            return source

    source, output, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    from pathlib import Path
    try:
        translate_raster(Translator(Same()), source, Path(output))
    except OutputError as error:
        sys.exit(f"refused: {error}")
"""


@pytest.mark.parametrize("limit", [30_000, 300_000], ids=["in a strip", "in the finished file"])
def test_a_disk_that_fills_half_way(write, tmp_path, limit):
    # A limit on the size of files is what a test can have; GDAL and Python meet it as they meet a full disk.
    source = write(np.random.default_rng(0).integers(0, 255, (3, 400, 400), dtype=np.uint8))
    uncovered = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), source, tmp_path / "map.tif", str(limit)],
        capture_output=True, text=True, check=False, env=uncovered,  # whose own file has the same limit
    )  # fmt: skip
    assert re.search(r"refused: .*map\.tif cannot be written", ran.stderr), ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "map.tif").exists()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


# a server that dies


@pytest.fixture
def served(write, monkeypatch, serve_folder):
    """A raster behind an address, whose server fails on request."""
    monkeypatch.setattr(reading, "RETRY_AFTER", (0.01, 0.01))
    monkeypatch.setattr(gdal, "RETRY_DELAY", 0.01)
    pixels = np.random.default_rng(0).integers(1, 255, (3, 3000, 600), dtype=np.uint8)
    file = write(pixels, tiled=True, blockxsize=64, blockysize=64)
    service = serve_folder(file.parent)
    return SimpleNamespace(address=f"{service.url}/{file.name}", pixels=pixels, fault=service.fault)


def test_an_address_works_and_its_key_is_told_to_nobody(served, tmp_path, straight, read):
    translate_raster(straight(), f"{served.address}?key=secret", tmp_path / "map.tif")
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), served.pixels)
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.tags()["SAT2MAP_SOURCE"] == "ortho.tif"
        assert "secret" not in str(file.tags())
    with pytest.raises(ImageError, match="cannot be opened") as caught:
        translate_raster(straight(), f"{served.address}f?key=secret", tmp_path / "other.tif")
    assert "secret" not in str(caught.value)


def test_a_server_that_dies_half_way_ends_clearly_and_resume_goes_on(served, tmp_path, straight, read):
    served.fault("503", 10**9, after=4)
    translator = straight(tile=128)
    with pytest.raises(
        ImageError, match=r"connection broke off, and asking again did not help.*can be resumed"
    ):
        translate_raster(translator, served.address, tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()
    served.fault("", 0)
    result = translate_raster(translator, served.address, tmp_path / "map.tif", RasterOptions(resume=True))
    assert result.resumed_rows > 0
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), served.pixels)


def test_a_server_that_stumbles_is_asked_again(served, tmp_path, straight, read):
    served.fault("503", 2, after=3)
    translate_raster(straight(tile=128), served.address, tmp_path / "map.tif")
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), served.pixels)


def test_a_raster_behind_an_address_is_resampled_as_one_on_the_disk_is(served, tmp_path):
    area = Area(0, 0, 400, 300)
    resampled = []
    with gdal.gdal_env():
        for source in (served.address, tmp_path / "ortho.tif"):
            with open_raster(source, bands=None, count=3) as raster, raster.resampled(1.7, 2.3) as coarser:
                resampled.append(coarser.read(area))
    remote, local = resampled
    np.testing.assert_array_equal(remote, local)


@pytest.mark.parametrize("factor", [1, 1.5, 0.5], ids=["as it is", "coarser", "finer"])
def test_each_block_of_a_raster_behind_an_address_is_fetched_once(write, serve_folder, factor):
    pixels = np.random.default_rng(0).integers(1, 255, (3, 1536, 1536), dtype=np.uint8)
    file = write(
        np.zeros_like(pixels), tiled=True, blockxsize=256, blockysize=256, interleave="pixel",
        compress="deflate", sparse_ok=True,
    )  # fmt: skip
    for left in range(0, 1536, 512):  # a row of blocks lies in three places of the file
        with rasterio.open(file, "r+") as part:
            part.write(pixels[:, :, left : left + 512], window=Window(left, 0, 512, 1536))
    server = serve_folder(file.parent)
    address = f"{server.url}/{file.name}"
    with gdal.gdal_env(), open_raster(address, bands=None, count=3) as raster:
        for top in range(0, 1536, 256):  # the least that GDAL needs: a row of blocks at a time
            raster.read(Area(top, 0, top + 256, 1536))
    once = server.sent()
    with (
        gdal.gdal_env(),
        open_raster(address, bands=None, count=3) as raster,
        nullcontext(raster) if factor == 1 else raster.resampled(factor, factor) as seen,
    ):
        height, width = seen.grid.height, seen.grid.width
        tiles = Grid.for_network(256, 32)
        with StripReader(seen, tiles, seen.grid.whole) as reader:
            for rows in tiles.spans(height):
                assert reader.cut(rows, tiles.spans(width)[0]) is not None
    both = server.sent()
    assert both["answers"] - once["answers"] <= 1.3 * once["answers"]
    assert both["bytes"] - once["bytes"] <= 1.2 * file.stat().st_size


@pytest.mark.parametrize("factor", [1.37, 0.61])
def test_a_raster_that_is_read_in_columns_is_resampled_as_one_that_is_read_whole(write, monkeypatch, factor):
    file = write(np.random.default_rng(0).integers(1, 255, (3, 200, 2400), dtype=np.uint8))
    read = []
    with gdal.gdal_env(), open_raster(file, bands=None, count=3) as raster:
        for beside in (700, 10**6):
            monkeypatch.setattr(scaled, "BESIDE", beside)
            with raster.resampled(factor, factor) as other:
                read.append(other.read(Area(10, 37, 130, other.grid.width)))
    np.testing.assert_array_equal(read[0], read[1])
