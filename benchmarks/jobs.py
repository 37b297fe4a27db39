"""Rows of whole commands, next to what people would do instead, each in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks import rasters
from benchmarks.clock import Clock
from benchmarks.table import Row
from sat2map.images.pixels import write_image
from sat2map.runtime.cpu import processor
from sat2map.synthetic.towns import draw_town

HERE = Path(__file__).parent
OVERVIEWS = (2, 4, 8, 16)
Pair = tuple[Callable[[], None], Callable[[], None]]


def race(name: str, theirs: str, pair: Pair, *, rounds: int, limit: float, faster: bool = False) -> list[Row]:
    """Run our command and theirs in turn, and return their times and the ratio with its limit.

    Args:
        name: What is done.
        theirs: How others do it.
        pair: Ours, theirs.
        rounds: How often.
        limit: Of the ratio.
        faster: Whether the ratio is theirs over ours, at least the limit; else ours over theirs, at most it.
    """
    seconds: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        for call, times in zip(pair, seconds, strict=True):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    ratios = [b / a if faster else a / b for a, b in zip(*seconds, strict=True)]
    what = "times as fast" if faster else "times the time"
    return [
        Row.of(name, "sat2map", seconds[0], "s"),
        Row.of(name, theirs, seconds[1], "s"),
        Row.of(name, what, ratios, "x", limit=limit, at_least=faster),
    ]


def raster_rows(
    models: Mapping[str, Path], folder: Path, clock: Clock, *, side: int, rounds: int
) -> list[Row]:
    """Race `translate` against the plain script, with tiles at the raster's own resolution."""
    raster = folder / f"plain-{side}.tif"
    rasters.draw(raster, side)
    limit = 4.0 if processor().multiplies_bf16 else 1.5
    rows = []
    for label, model in models.items():
        name = f"A raster of {side} x {side} px, {label}"
        if not clock.begin(name, needs=side**2 / 4e5):
            continue
        flags = ["--resolution", "source", "--device", "cpu", "--overwrite"]

        def ours(model: Path = model, flags: list[str] = flags) -> None:
            command("translate", raster, "--output", folder / "ours.tif", "--model", model, *flags)

        def plain(model: Path = model) -> None:
            python(HERE / "plain_raster.py", raster, folder / "plain.tif", "--model", model)

        rows += race(name, "a plain script", (ours, plain), rounds=rounds, limit=limit, faster=True)
    return rows


def scale_rows(model: Path, folder: Path, *, side: int) -> list[Row]:
    """Take the share of network and drawing at the model's gsd, and the time of a raster of 0.3 m."""
    rows = []
    name = f"A raster of {side} x {side} px, bundled network"
    at_gsd = rasters.run(model, side, folder, gsd=0.9)
    share = at_gsd["network_share"] + at_gsd["drawing_share"]
    rows.append(Row.of(name, "0.9 m: network and drawing", [share], "of the time", limit=0.85, at_least=True))
    rows.append(Row.of(name, "0.9 m: time", [at_gsd["seconds"]], "s"))
    fine = rasters.run(model, side, folder, gsd=0.3)
    rows.append(Row.of(name, "0.3 m: time over the network's", [1 / fine["network_share"]], "x", limit=2.0))
    rows.append(Row.of(name, "0.3 m: time", [fine["seconds"]], "s"))
    return rows


def memory_rows(model: Path, folder: Path, clock: Clock, *, sides: tuple[int, int]) -> list[Row]:
    """Take the peak of memory for a large raster, and what it has over a smaller one."""
    name = f"Peak memory of a raster of {sides[1]} x {sides[1]} px, bundled network"
    if not clock.begin(name, needs=sum(side**2 for side in sides) / 3e6):
        return []
    small, large = (rasters.run(model, side, folder, gsd=0.9)["peak_mb"] for side in sides)
    return [
        Row.of(name, "peak", [large], "MB", limit=600),
        Row.of(name, f"above {sides[0]} x {sides[0]} px", [large - small], "MB", limit=100),
    ]


def map_rows(model: Path, folder: Path, clock: Clock, *, side: int, rounds: int) -> list[Row]:
    """Race `tiles` against GDAL's MBTiles driver, and `vectorize` against plain polygonizing."""
    source, drawn, classes = (folder / f"{name}-{side}.tif" for name in ("source", "map", "classes"))
    rasters.draw(source, side, gsd=0.9)
    command("translate", source, "--output", drawn, "--classes", classes, "--model", model, "--device", "cpu")
    rows = []
    vectors = f"Vectors of a map of {side} x {side} px"
    if clock.begin(vectors, needs=10):
        ours = lambda: command("vectorize", drawn, "--output", folder / "ours.gpkg", "--overwrite")  # noqa: E731

        def plain() -> None:
            (folder / "plain.gpkg").unlink(missing_ok=True)
            python(HERE / "plain_vectors.py", classes, folder / "plain.gpkg")

        rows += race(vectors, "polygonize, simplify, write", (ours, plain), rounds=rounds, limit=2.0)
    tiles = f"Web tiles of a map of {side} x {side} px"
    if not shutil.which("gdal_translate"):
        clock.skip(f"{tiles}: gdal_translate is not installed (Debian: gdal-bin)")
    elif clock.begin(tiles, needs=15):
        theirs = folder / "gdal.mbtiles"
        _gdal_tiles(drawn, theirs)  # warms up, and says at which zooms
        with closing(sqlite3.connect(theirs)) as database:
            zoom = int(database.execute("select max(zoom_level) from tiles").fetchone()[0])
        zooms = ["--zooms", f"{max(0, zoom - len(OVERVIEWS))}-{zoom}", "--overwrite"]

        def cut() -> None:
            command("tiles", drawn, "--output", folder / "ours.mbtiles", *zooms)

        rows += race(
            tiles,
            "gdal_translate -of MBTILES, gdaladdo",
            (cut, lambda: _gdal_tiles(drawn, theirs)),
            rounds=rounds,
            limit=1.0,
        )
    return rows


def bulk_rows(model: Path, folder: Path, *, count: int, rounds: int, side: int = 600) -> list[Row]:
    """Race `bulk` against `translate` on a folder of photos."""
    photos = folder / "photos"
    towns = [draw_town(8_300_000 + i, size=side).source for i in range(min(4, count))]
    for i in range(count):
        write_image(photos / f"{i:03d}.jpg", towns[i % len(towns)])

    def run(name: str) -> None:
        shutil.rmtree(folder / name, ignore_errors=True)
        command(name, photos, "--output", folder / name, "--model", model, "--device", "cpu")

    name = f"A folder of {count} photos of {side} px with bulk"
    pair = (lambda: run("bulk"), lambda: run("translate"))
    return race(name, "sat2map translate", pair, rounds=rounds, limit=1.1)


def start_rows(folder: Path, *, rounds: int) -> list[Row]:
    """Time `info`, and the start of `translate` to the first map on the disk, with the bundled model."""
    photo = folder / "first.png"
    write_image(photo, draw_town(8_100_000, size=256).source)
    calls: dict[str, tuple[float, list[object]]] = {
        "sat2map info": (0.4, ["info"]),
        "sat2map translate, start to map": (
            1.0,
            ["translate", photo, "--output", folder / "first-map.png", "--overwrite", "--device", "cpu"],
        ),
    }
    rows = []
    for name, (limit, arguments) in calls.items():
        seconds = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            command(*arguments)
            seconds.append(time.perf_counter() - began)
        rows.append(Row.of("Start", name, seconds[1:], "s", limit=limit))  # the first reads files from disk
    return rows


def app_rows(graph: Path, run: Callable[[], object], *, side: int, threads: int, seconds: float) -> list[Row]:
    """Compare an engine's rate with OpenVINO's benchmark_app on the same graph, in turn.

    Args:
        graph: The network as .onnx.
        run: One call of the engine on 1 x 3 x side x side.
        side: Of the image (px).
        threads: Of both.
        seconds: That each runs for, twice.
    """
    precision = "bf16" if processor().multiplies_bf16 else "f32"
    application = [
        str(Path(sys.executable).with_name("benchmark_app")), "-m", str(graph), "-d", "CPU", "-hint", "none",
        "-nstreams", "1", "-nthreads", str(threads), "-api", "sync", "-t", str(max(1, round(seconds))),
        "-infer_precision", precision, "-data_shape", f"[1,3,{side},{side}]",
    ]  # fmt: skip
    run()
    rates: tuple[list[float], list[float]] = [], []
    for _ in range(2):
        began, calls = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            run()
            calls += 1
        rates[0].append(calls / (time.perf_counter() - began))
        told = subprocess.run(application, capture_output=True, text=True, check=True).stdout
        found = re.search(r"Throughput:\s+([\d.]+)", told)
        assert found, told
        rates[1].append(float(found[1]))
    name = f"Rate of the network at {side} x {side} px, {precision}"
    return [
        Row.of(name, "sat2map's engine", rates[0], "images/s"),
        Row.of(name, "OpenVINO's benchmark_app", rates[1], "images/s"),
        Row.of(name, "share", [median(rates[0]) / median(rates[1])], "x", limit=0.95, at_least=True),
    ]


def _gdal_tiles(source: Path, output: Path) -> None:
    output.unlink(missing_ok=True)
    call("gdal_translate", "-q", "-of", "MBTILES", source, output)
    call("gdaladdo", "-q", "-r", "average", output, *OVERVIEWS)


def command(*arguments: object) -> None:
    """Run sat2map."""
    python("-m", "sat2map", *arguments)


def python(*arguments: object) -> None:
    """Run Python; its output is shown where it fails."""
    call(sys.executable, *arguments)


def call(*arguments: object, environment: Mapping[str, str] | None = None) -> str:
    """Run a program with more environment variables; return what it printed, or fail with its errors."""
    words = [str(argument) for argument in arguments]
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout
