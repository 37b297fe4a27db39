"""Opens the outputs of sat2map in a QGIS of this machine, with a fresh profile: `make check-qgis`.

It draws a town, translates and vectorizes it, starts a service, and lets Debian's PyQGIS open the GeoPackage,
the class raster, the vector tiles and the WMTS. `open_outputs.py` checks colours and names, and renders them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sat2map.models.bundled import bundled_model
from sat2map.models.model_file import read_header

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "docs" / "qgis" / "sat2map_translate.py"
SAT2MAP = [sys.executable, "-m", "sat2map"]


def main() -> int:
    """Make the outputs, run QGIS over them, and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default="/usr/bin/python3", help="the Python that has PyQGIS")
    parser.add_argument("--picture", type=Path, default=Path("qgis.png"), help="where to write the picture")
    given = parser.parse_args()
    if subprocess.run([given.python, "-c", "import qgis.core"], check=False).returncode:
        print("QGIS is not installed: apt-get install qgis python3-qgis", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="sat2map-qgis-") as name:
        folder = Path(name)
        make_outputs(folder)
        with service(folder) as address:
            return run_qgis(given.python, folder, address, given.picture)


def make_outputs(folder: Path) -> None:
    """Draw a town, and write map, classes, confidence and vectors of it, and the palette, into a folder."""
    run("data", "synth", folder / "scenes", "--georeferenced", "--count", 1, "--size", 512)
    (folder / "rasters").mkdir()
    shutil.move(folder / "scenes" / "00000-ortho.tif", folder / "rasters" / "town.tif")
    run(
        "translate", folder / "rasters" / "town.tif", "--output", folder / "map.tif", "--classes",
        folder / "classes.tif", "--confidence", folder / "confidence.tif", "--vectors", folder / "town.gpkg",
    )  # fmt: skip
    palette = read_header(bundled_model()).palette
    assert palette is not None
    palette.save(folder / "palette.json")
    # The Processing script gets a command of one word.
    command = folder / "sat2map"
    source = os.environ.get("PYTHONPATH", "")
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{source}" exec "{sys.executable}" -m sat2map "$@"\n')
    command.chmod(0o755)


def run(*words: object) -> None:
    """Run the command sat2map."""
    subprocess.run([*SAT2MAP, *map(str, words)], check=True)


class service:  # noqa: N801 - a context manager
    """A service that shows the rasters of a folder."""

    def __init__(self, folder: Path) -> None:
        words = ["serve", "--rasters", folder / "rasters", "--state", folder / "state", "--port", 0]
        self._process = subprocess.Popen(
            [*SAT2MAP, *map(str, words)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("serving "):
                return line.split(" at ")[1].split()[0]
        raise RuntimeError("the service did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)


def run_qgis(python: str, folder: Path, address: str, picture: Path) -> int:
    """Run the checks in PyQGIS; its profile and settings are new, and no window is opened."""
    profile = folder / "profile"
    profile.mkdir()
    shutil.copy(SCRIPT, folder)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"HOME": str(profile), "QT_QPA_PLATFORM": "offscreen", "LC_ALL": "C.UTF-8"}
    environment |= {"XDG_RUNTIME_DIR": str(profile), "QGIS_CUSTOM_CONFIG_PATH": str(profile)}
    words = [python, str(HERE / "open_outputs.py"), str(folder), address, str(picture.absolute())]
    return subprocess.run(words, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
