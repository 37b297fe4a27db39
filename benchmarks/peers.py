"""Races sat2map against what people use instead, each in an environment of its own: `make bench-peers`.

    python -m benchmarks.peers --environments .peers [--json FILE]

The same work in the same run, as ratios. The loop of pytorch-CycleGAN-and-pix2pix, which has no package, is
written as people run it (`benchmarks/baseline.py`). An environment is made once; PIP_ARGS goes to pip, for a
CPU build of PyTorch.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from benchmarks import jobs, rasters, training
from benchmarks.clock import Clock
from benchmarks.machine import describe_machine
from benchmarks.table import Bench, Row, print_bench
from sat2map.files import atomic_write_text
from sat2map.inference.backends.graphs import make_graph
from sat2map.models.bundled import bundled_model
from sat2map.models.model_file import read_header
from sat2map.runtime.cpu import processor

HERE = Path(__file__).parent
TORCH = "torch>=2.6,<2.14"  # as in pyproject.toml
ENVIRONMENTS = {
    "loop": [TORCH, "numpy", "pillow"],
    "script": [TORCH, "numpy", "rasterio", "pydantic", "safetensors"],
    "rio-tiler": ["rio-tiler", "onnxruntime", "pillow"],
}


def make_environment(folder: Path, name: str, clock: Clock) -> Path | None:
    """Return the Python of an environment, which is made where it is missing; None if that fails."""
    python = folder / name / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / name / ".installed"
    if done.exists():
        return python
    clock.begin(f"installing {', '.join(ENVIRONMENTS[name])}")
    venv.create(folder / name, with_pip=True, clear=True)
    flags = shlex.split(os.environ.get("PIP_ARGS", ""))
    command = [python, "-m", "pip", "install", "--quiet", *flags, *ENVIRONMENTS[name]]
    told = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if told.returncode:
        clock.skip(f"{name}: {(told.stderr.strip().splitlines() or ['pip failed'])[-1]}")
        return None
    done.touch()
    return python


def loop_rows(python: Path, folder: Path, *, quick: bool) -> list[Row]:
    """Race an epoch of the paper's training against the plain loop."""
    return training.training_rows(
        HERE / "baseline.py",
        folder / "pairs",
        images=4 if quick else 24,
        rounds=1 if quick else 2,
        width=8 if quick else 64,
        size=64 if quick else 256,
        python=python,
    )


def script_rows(python: Path, folder: Path, *, quick: bool) -> list[Row]:
    """Race a raster against the plain script."""
    side, model = 256 if quick else 3072, bundled_model()
    raster = folder / "script.tif"
    rasters.draw(raster, side)
    flags = ["--model", model, "--resolution", "source", "--device", "cpu", "--overwrite"]
    source = {"PYTHONPATH": str(HERE.parent / "src")}  # for the network alone

    def ours() -> None:
        jobs.command("translate", raster, "--output", folder / "ours.tif", *flags)

    def plain() -> None:
        script = HERE / "plain_raster.py"
        jobs.call(python, script, raster, folder / "plain.tif", "--model", model, environment=source)

    limit = 4.0 if processor().multiplies_bf16 else 1.5
    name = f"A raster of {side} x {side} px, bundled network"
    return jobs.race(
        name, "PyTorch and rasterio", (ours, plain), rounds=1 if quick else 3, limit=limit, faster=True
    )


def tile_rows(python: Path, folder: Path, *, quick: bool) -> list[Row]:
    """Race the web tiles of a raster against rio-tiler and ONNX Runtime by hand."""
    side, model = 512 if quick else 3072, bundled_model()
    raster, graph = folder / "tiles.tif", folder / "bundled.onnx"
    rasters.draw(raster, side, gsd=0.9)
    graph.write_bytes(make_graph(model, read_header(model)))
    number = iter(range(1000))
    zooms: list[str] = []

    def plain() -> None:
        told = jobs.call(python, HERE / "peer_tiles.py", raster, graph, folder / f"tiles-{next(number)}")
        zooms[:] = [told.strip()]

    plain()

    def ours() -> None:
        drawn = folder / "drawn.tif"
        jobs.command(
            "translate", raster, "--output", drawn, "--model", model, "--device", "cpu", "--overwrite"
        )
        zoom = f"{zooms[0]}-{zooms[0]}"
        jobs.command("tiles", drawn, "--output", folder / "ours.mbtiles", "--zooms", zoom, "--overwrite")

    name = f"Web tiles of the map of a raster of {side} x {side} px"
    peer = "rio-tiler and ONNX Runtime by hand"
    return jobs.race(name, peer, (ours, plain), rounds=1 if quick else 3, limit=1.0, faster=True)


RACES = {"loop": loop_rows, "script": script_rows, "rio-tiler": tile_rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environments", type=Path, default=Path(".peers"))
    parser.add_argument("--only", nargs="+", choices=list(RACES), default=list(RACES))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    clock = Clock(24 * 60, lambda text: print(text, file=sys.stderr, flush=True))
    rows: list[Row] = []
    for name in arguments.only:
        python = make_environment(arguments.environments.resolve(), name, clock)
        if python is not None and clock.begin(name):
            with tempfile.TemporaryDirectory() as folder:
                rows += RACES[name](python, Path(folder), quick=arguments.quick)
    if arguments.quick:
        rows = [row.model_copy(update={"limit": None}) for row in rows]
    bench = Bench(
        machine=describe_machine(processor().threads),
        rows=tuple(rows),
        skipped=tuple(clock.skipped),
        seconds=clock.seconds,
    )
    print_bench(bench)
    if arguments.json:
        atomic_write_text(arguments.json, bench.to_json())


if __name__ == "__main__":
    main()
