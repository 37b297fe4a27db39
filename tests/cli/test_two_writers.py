"""The second of two writers of one output is refused at once, and the lock of a dead one taken over."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sat2map.synthetic.towns import draw_town

HOLD = """
import sys, time
from pathlib import Path
from sat2map.files import lock_output
with lock_output(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(3600)  # until it is killed
"""


@contextmanager
def another_writer(output: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    town = draw_town(1, size=96)
    Image.fromarray(town.source).save(tmp_path / "photo.png")
    for split in ("train", "val"):
        (tmp_path / "pairs" / split).mkdir(parents=True)
        for i in range(2):
            pair = np.hstack([town.source, town.target])
            Image.fromarray(pair).save(tmp_path / "pairs" / split / f"{i}.png")
    return tmp_path


COMMANDS = {
    "map.png": ["translate", "photo.png", "--output", "map.png"],
    "mine.json": ["data", "palette", "pairs", "--output", "mine.json"],
    "maps.onnx": ["export", "--to", "onnx", "--output", "maps.onnx"],
    "towns": ["data", "download", "maps", "towns", "--mirror", "http://127.0.0.1:9"],
}


def run(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sat2map", *command], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("output", COMMANDS)
def test_the_second_writer_is_refused_and_writes_nothing(inputs: Path, output: str) -> None:
    with another_writer(inputs / output):
        done = run(inputs, COMMANDS[output])
        assert done.returncode == 2, done.stderr
        assert f"another process is writing {output}" in done.stderr
        assert not (inputs / output).exists()


def test_a_second_writer_of_vectors_is_refused_before_its_map_is_made(inputs: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="the geo extra is not installed")
    source = np.moveaxis(draw_town(1, size=96).source, -1, 0)
    profile = {
        "driver": "GTiff",
        "count": 3,
        "height": 96,
        "width": 96,
        "dtype": "uint8",
        "crs": "EPSG:32633",
    }
    place = rasterio.transform.from_origin(400_000, 5_000_000, 0.9, 0.9)
    with rasterio.open(inputs / "ortho.tif", "w", transform=place, **profile) as file:
        file.write(source)
    command = ["translate", "ortho.tif", "--output", "map.tif", "--vectors", "town.gpkg"]
    with another_writer(inputs / "town.gpkg"):
        done = run(inputs, command)
    assert done.returncode == 2, done.stderr
    assert "another process is writing town.gpkg" in done.stderr
    assert not (inputs / "map.tif").exists()
    assert run(inputs, command).returncode == 0
    assert (inputs / "town.gpkg").is_file()


@pytest.mark.parametrize("output", ["map.png", "mine.json"])
def test_the_lock_of_a_killed_writer_is_taken_over(inputs: Path, output: str) -> None:
    with another_writer(inputs / output) as process:
        process.kill()
        process.wait()
    done = run(inputs, COMMANDS[output])
    assert done.returncode == 0, done.stderr
    assert (inputs / output).is_file()
    assert not list(inputs.glob(".*sat2map*"))


def test_a_map_that_another_process_wrote_meanwhile_is_kept(inputs: Path) -> None:
    from sat2map.errors import OutputError
    from sat2map.inference import Translator
    from sat2map.inference.image_files import plan_jobs, translate_images

    jobs = plan_jobs([inputs / "photo.png"], inputs / "map.png")
    (inputs / "map.png").write_text("another's")
    with pytest.raises(OutputError, match="exists"):
        translate_images(Translator.open(), jobs, lambda job, error: None)
    assert (inputs / "map.png").read_text() == "another's"
