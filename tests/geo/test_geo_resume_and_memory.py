"""Long work: it goes on where it was killed, and its memory does not grow with the raster's area."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import rasterio

from sat2map.errors import OutputError
from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.translate_raster import translate_raster

WORK = textwrap.dedent("""
    import resource, sys, time
    from pathlib import Path
    import numpy as np
    from sat2map.geo.raster_job import RasterOptions
    from sat2map.geo.translate_raster import translate_raster
    from sat2map.models.model_file import ModelHeader
    from sat2map.models.architectures.spec import GeneratorSpec
    from sat2map.inference import Translator

    class Slow:
        name = "slow"
        def __init__(self, tile, tiles):
            self.header = ModelHeader(generator=GeneratorSpec(depth=3), max_untiled_size=tile)
            self.tiles = tiles
        def __call__(self, source):
            self.tiles -= 1
            if self.tiles < 0:
                time.sleep(3600)  # until it is killed
            return np.tanh(source)

    source, output, tile, tiles, resume = sys.argv[1:]
    translator = Translator(Slow(int(tile), int(tiles)))
    result = translate_raster(translator, source, Path(output), RasterOptions(resume=resume == "yes"))
    print(result.resumed_rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
""")


def start(source, output, *, tile=64, tiles=10**9, resume=False):
    """Translate in a process of its own, which stands still once it has drawn so many tiles."""
    words = [source, output, tile, tiles, "yes" if resume else "no"]
    return subprocess.Popen(
        [sys.executable, "-c", WORK, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def source(write):
    return write(np.random.default_rng(0).integers(0, 255, (3, 400, 300), dtype=np.uint8))


def test_a_killed_translation_leaves_no_output_and_resumes_to_the_same_bytes(source, tmp_path):
    parts = tmp_path / ".map.tif.parts"
    process = start(source, tmp_path / "map.tif", tiles=45)
    while process.poll() is None and len(list(parts.glob("map.*.tif"))) < 30:  # three rows of tiles
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "map.tif").exists()
    assert len(list(parts.glob("map.*.tif"))) >= 30

    out, errors = start(source, tmp_path / "map.tif", resume=True).communicate()
    assert not errors
    assert int(out.split()[0]) >= 64
    assert not parts.exists()
    straight, _ = start(source, tmp_path / "straight.tif").communicate()
    assert straight.split()[0] == "0"
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "straight.tif").read_bytes()


def test_without_resume_it_starts_anew(source, tmp_path, straight, read):
    parts = tmp_path / ".map.tif.parts"
    process = start(source, tmp_path / "map.tif", tiles=45)
    while process.poll() is None and not list(parts.glob("map.*.tif")):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert translate_raster(straight(), source, tmp_path / "map.tif").resumed_rows == 0
    with rasterio.open(source) as file:
        np.testing.assert_array_equal(read(tmp_path / "map.tif"), file.read())


def test_resume_refuses_rows_that_were_made_otherwise(source, tmp_path, straight):
    def interrupt(x):
        raise KeyboardInterrupt

    runs = []
    translator = straight(lambda x: x if runs.append(1) or len(runs) < 30 else interrupt(x), tile=64)
    with pytest.raises(KeyboardInterrupt):
        translate_raster(translator, source, tmp_path / "map.tif")
    with pytest.raises(OutputError, match="begun with another settings"):
        translate_raster(
            straight(), source, tmp_path / "map.tif", RasterOptions(resume=True, bands=(3, 2, 1))
        )
    assert (
        translate_raster(straight(), source, tmp_path / "map.tif", RasterOptions(resume=True)).resumed_rows
        > 0
    )


def test_resume_with_nothing_to_go_on_from_just_starts(source, tmp_path, straight):
    result = translate_raster(straight(), source, tmp_path / "map.tif", RasterOptions(resume=True))
    assert result.resumed_rows == 0


def test_memory_grows_with_the_width_of_a_raster_not_with_its_height(tmp_path):
    peaks = []
    for height in (1024, 8192):
        path = tmp_path / f"{height}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", count=3, height=height, width=1024, dtype="uint8", tiled=True,
            compress="zstd", crs="EPSG:32633", transform=rasterio.Affine(1, 0, 0, 0, -1, 0),
        ) as file:  # fmt: skip
            rows = np.random.default_rng(0).integers(0, 255, (3, 256, 1024), dtype=np.uint8)
            for top in range(0, height, 256):
                file.write(rows, window=rasterio.windows.Window(0, top, 1024, 256))
        out, errors = start(path, tmp_path / f"map-{height}.tif", tile=256).communicate()
        assert not errors
        peaks.append(int(out.split()[1]) / 1024)
    # The larger one has 22 MB more of source, and as much again of map, or four times that as floats.
    assert peaks[1] - peaks[0] < 70, peaks
