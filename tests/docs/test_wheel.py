"""Tests of the wheel: what is in it, and that it works where nothing else of the project is.

`.ci/wheel` does the same with nothing borrowed: dependencies from the registry, and the whole demo.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from sat2map.export import web_runtime

pytest.importorskip("build")
pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[2]
RECIPE = """preset = "rgb"
image_size = 32
load_size = 32
crop_size = 32
width = 4
depth = 3
discriminator_width = 4
discriminator_layers = 2
epochs = 1
batch_size = 2
workers = 1
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's `sat2map`, in an environment that borrows this one's libraries, but not the project."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=True)
    bin_folder = folder / ("Scripts" if sys.platform == "win32" else "bin")
    python = bin_folder / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    # What a .pth file names is searched, but .pth files in there, such as of an editable install, are not.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
    command += ["--force-reinstall", "--quiet", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return bin_folder / "sat2map"


def test_the_wheel_has_what_the_package_reads_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "py.typed",
        "settings/presets/default.toml",
        "settings/presets/facades.toml",
        "images/palette/palettes/maps.json",
        "cli/main.py",
    ):
        assert f"sat2map/{needed}" in names, needed
    here = {path for path in (ROOT / "src" / "sat2map").rglob("*") if path.is_file()}
    # `make web` fetches ONNX Runtime for browsers into the package: 13 MB that only an exported page needs.
    here -= {path for path in here if "__pycache__" in path.parts or path.name in web_runtime.CHECKSUMS}
    expected = {path.relative_to(ROOT / "src").as_posix() for path in here}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)


def test_the_wheel_has_the_recorded_weights(wheel: Path) -> None:
    content = zipfile.ZipFile(wheel).read("sat2map/weights/maps.safetensors")
    recorded = (ROOT / "tests" / "models" / "bundled" / "sha256.txt").read_text().strip()
    assert hashlib.sha256(content).hexdigest() == recorded


def test_the_wheel_says_which_pythons_and_extras_it_has(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Requires-Python"] == ">=3.10"
    pythons = {
        line.rpartition(" ")[2] for line in metadata.get_all("Classifier") or [] if "Python :: 3." in line
    }
    assert pythons == {"3.10", "3.11", "3.12", "3.13"}
    extras = set(metadata.get_all("Provides-Extra") or [])
    assert extras >= {"train", "encoder", "geo", "openvino", "serve", "ray", "hub", "all"}


def test_the_wheel_works_in_an_empty_folder(program: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"SAT2MAP_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    work = tmp_path / "work"
    work.mkdir()

    def run(*words: str) -> str:
        command = [str(program), *words]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    assert run("--version").startswith("sat2map ")
    where = [str(program.with_name("python")), "-c", "import sat2map; print(sat2map.__file__)"]
    found = subprocess.run(
        where, cwd=work, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert Path(found.strip()).is_relative_to(program.parents[1])
    run("data", "synth", "pairs", "--count", "8", "--size", "32")
    (work / "recipe.toml").write_text(RECIPE)
    run("train", "recipe.toml", "--data", "pairs", "--run", "run")
    model = "run/best.safetensors"
    assert "U-Net (unet), width 4" in run("info", model)
    picture = next((work / "pairs" / "val").iterdir())
    run("translate", str(picture), "--model", model, "--output", "maps", "--device", "cpu")
    assert len(list((work / "maps").iterdir())) == 1
