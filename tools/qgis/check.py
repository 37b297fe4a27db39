"""Opens the outputs of sat2map in a QGIS of this machine, with a fresh profile: `make check-qgis`.

It draws a town, translates and vectorizes it, starts a service, and lets Debian's PyQGIS open the GeoPackage,
the class raster, the vector tiles and the WMTS. `open_outputs.py` checks colours and names, and renders them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.service_process import running_service

from sat2map.models.bundled import bundled_model
from sat2map.models.model_file import read_header

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "docs" / "qgis" / "sat2map_translate.py"
SAT2MAP = [sys.executable, "-m", "sat2map"]


def main() -> int:
    """Make the outputs, run QGIS over them, and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default="/usr/bin/python3", help="the Python that has PyQGIS")
    parser.add_argument(
        "--picture", type=Path, default=Path("build/qgis.png"), help="where to write the picture"
    )
    given = parser.parse_args()
    if subprocess.run([given.python, "-c", "import qgis.core"], check=False).returncode:
        print("QGIS is not installed: apt-get install qgis python3-qgis", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="sat2map-qgis-") as name:
        folder = Path(name)
        make_outputs(folder)
        with serve(folder) as (address, _):
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


def serve(folder: Path) -> contextlib.AbstractContextManager[tuple[str, int]]:
    """Start a service that shows the rasters of a folder."""
    return running_service(bundled_model(), folder / "state", "--rasters", folder / "rasters")


def run_qgis(python: str, folder: Path, address: str, picture: Path) -> int:
    """Run the checks in PyQGIS; no window is opened."""
    shutil.copy(SCRIPT, folder)
    picture.parent.mkdir(parents=True, exist_ok=True)
    words = [python, str(HERE / "open_outputs.py"), str(folder), address, str(picture.absolute())]
    return subprocess.run(
        words, env=fresh_profile(folder, QT_QPA_PLATFORM="offscreen"), check=False
    ).returncode


def photograph_window(folder: Path, picture: Path) -> None:
    """Open the outputs in QGIS' own window, on a screen in memory, and take a picture of it."""
    words = ["xvfb-run", "-a", "-s", "-screen 0 1280x800x24", "qgis", "--nologo", "--noversioncheck"]
    words += ["--profiles-path", str(folder / "profile"), "--code", str(HERE / "window.py")]
    environment = fresh_profile(
        folder, PATH="/usr/bin:/bin", SAT2MAP_OUTPUTS=str(folder), SAT2MAP_PICTURE=str(picture.absolute())
    )
    subprocess.run(words, env=environment, check=True, timeout=300)


def fresh_profile(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which QGIS finds no settings of the user's, and no other Python."""
    profile = folder / "profile"
    profile.mkdir(exist_ok=True, mode=0o700)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    home = dict.fromkeys(("HOME", "XDG_RUNTIME_DIR", "QGIS_CUSTOM_CONFIG_PATH"), str(profile))
    return {**kept, **home, "LC_ALL": "C.UTF-8", **more}


if __name__ == "__main__":
    sys.exit(main())
