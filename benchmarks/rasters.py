"""Measures the translation of large rasters: tiles a second, the network's share of the time, peak memory.

    python -m benchmarks.rasters --model best.safetensors            # 4,096² and 16,384² px
    python -m benchmarks.rasters --model best.safetensors --sides 1024 2048 --json rasters.json

Run it on a machine that has nothing else to do. Each size is a process of its own, since memory is measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PIECE = 1024  # px; side of the drawn town that the raster is tiled with


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--model", type=Path, required=True)
    words.add_argument(
        "--sides", type=int, nargs="+", default=[4096, 16384], help="sides of the rasters (px)"
    )
    words.add_argument("--folder", type=Path, help="where rasters go; by default a temporary folder")
    words.add_argument("--json", type=Path, help="write the figures here too")
    words.add_argument("--gsd", type=float, default=0.9, help="metres per pixel of the rasters")
    words.add_argument("--one", nargs=2, metavar=("RASTER", "OUTPUT"), help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.one:
        print(json.dumps(measure(given.model, Path(given.one[0]), Path(given.one[1]))))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        rows = [run(given.model, side, Path(folder), gsd=given.gsd) for side in given.sides]
    print(f"{'side (px)':>10} {'seconds':>9} {'tiles/s':>9} {'Mpx/s':>9} {'network':>9} {'peak (MB)':>10}")
    for row in rows:
        speed = f"{row['tiles_per_second']:>9.2f} {row['mpx_per_second']:>9.2f}"
        share = f"{row['network_share']:>9.1%} {row['peak_mb']:>10.0f}"
        print(f"{row['side']:>10} {row['seconds']:>9.1f} {speed} {share}")
    if len(rows) > 1:
        print(f"memory grows by {rows[-1]['peak_mb'] - rows[0]['peak_mb']:.0f} MB from the first to the last")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


def run(model: Path, side: int, folder: Path, *, gsd: float = 0.9) -> dict[str, float]:
    """Measure one size in a process of its own."""
    raster = folder / f"{side}.tif"
    draw(raster, side, gsd=gsd)
    command = [sys.executable, __file__, "--model", model, "--one", raster, folder / f"{side}-map.tif"]
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    raster.unlink()
    return {"side": side, **row, "mpx_per_second": side * side / 1e6 / row["seconds"]}


def draw(path: Path, side: int, *, gsd: float = 0.9) -> None:
    """Write a raster of `side` px, tiled with a drawn town."""
    import numpy as np
    import rasterio
    from rasterio.windows import Window

    from sat2map.synthetic.towns import draw_town

    town = np.moveaxis(draw_town(7, size=PIECE).source, -1, 0)
    transform = rasterio.Affine(gsd, 0, 400_000, 0, -gsd, 5_800_000)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=side, width=side, dtype="uint8", tiled=True,
        compress="deflate", zlevel=1, crs="EPSG:32633", transform=transform,
    ) as file:  # fmt: skip
        for top in range(0, side, PIECE):
            for left in range(0, side, PIECE):
                height, width = min(PIECE, side - top), min(PIECE, side - left)
                file.write(town[:, :height, :width], window=Window(left, top, width, height))


def peak_memory() -> float:
    """Return the peak of this program in MB: ru_maxrss counts the parent's before it too, /proc does not."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return (peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024


def measure(model: Path, raster: Path, output: Path) -> dict[str, float]:
    """Translate, and return what it cost."""
    import time

    from sat2map.geo import translate_raster as module
    from sat2map.geo.raster_job import RasterOptions
    from sat2map.inference import Translator

    drawing, draw_block = 0.0, vars(module)["draw_block"]

    def timed(*arguments: Any) -> Any:
        nonlocal drawing
        began = time.thread_time()
        drawn = draw_block(*arguments)
        drawing += time.thread_time() - began
        return drawn

    vars(module)["draw_block"] = timed
    result = module.translate_raster(Translator.open(model), raster, output, RasterOptions(overwrite=True))
    return {
        "seconds": result.seconds,
        "tiles_per_second": result.tiles / result.seconds,
        "network_share": result.network_seconds / result.seconds,
        "drawing_share": drawing / result.seconds,  # in a thread beside the network
        "peak_mb": peak_memory(),
    }


if __name__ == "__main__":
    main()
