"""Checks the plan against real runs: predicted and measured time of rasters of some sizes.

    python -m benchmarks.plan                                  # 4,096² and 12,288² px at 0.3 m
    python -m benchmarks.plan --sides 2048 --json plan.json

Each size is *met* where the measured time lies within 30 % of the predicted one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from sat2map.geo.job_speeds import JobSpeeds, draw_raster, measure_job
from sat2map.geo.translate_raster import translate_raster
from sat2map.inference import Translator
from sat2map.plan import plan_job
from sat2map.runtime.cpu import processor

WITHIN = 0.3


def main() -> None:
    """Print a table; exit with 1 if a prediction is short."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[4096, 12288], help="sides of the rasters (px)"
    )
    parser.add_argument("--gsd", type=float, default=0.3, help="metres per pixel")
    parser.add_argument("--model", help="the model; by default the bundled one")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    translator = Translator.open(given.model)
    speeds = measure_job(translator, given.gsd)
    rows = [check(translator, speeds, side, given.gsd) for side in given.sides]
    print(f"Speeds: {speeds}\n")
    print("| side (px) | tiles | predicted (s) | range (s) | measured (s) | measured / predicted | |")
    print("|--:|--:|--:|--:|--:|--:|---|")
    for row in rows:
        low, high = row["range"]
        print(
            f"| {row['side']:,} | {row['tiles'][0]}, in fact {row['tiles'][1]} | {row['predicted']:.1f} | "
            f"{low:.1f} to {high:.1f} | {row['measured']:.1f} (processor {row['processor']:.1f}) | "
            f"{row['measured'] / row['predicted']:.2f} | {row['verdict']} |"
        )
    if given.json:
        about: dict[str, Any] = {
            "machine": describe_machine(processor().threads),
            "date": time.strftime("%Y-%m-%d"),
        }
        about |= {"grid": asdict(translator.grid)}
        before = json.loads(given.json.read_text("utf-8")) if given.json.exists() else {}
        content = {**before, **about, "speeds": asdict(speeds), "rows": rows}
        given.json.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    sys.exit(any(row["verdict"] != "met" for row in rows))


def check(translator: Translator, speeds: JobSpeeds, side: int, gsd: float) -> dict[str, Any]:
    """Return the predicted and the measured time of one raster, which is here: nothing is fetched."""
    job = plan_job((side * gsd) ** 2 / 1e6, speeds, translator.grid, link_mbit=1e6)
    predicted = job.hours * 3600
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source.tif"
        draw_raster(source, side, gsd)
        start = time.process_time()
        result = translate_raster(translator, source, Path(name) / "map.tif")
        used = time.process_time() - start
    return {
        "side": side,
        "predicted": predicted,
        "range": [hours * 3600 for hours in job.range_hours],
        "measured": result.seconds,
        "processor": used,
        "tiles": [job.tiles, result.tiles],
        "verdict": "met" if abs(result.seconds / predicted - 1) <= WITHIN else "short",
    }


if __name__ == "__main__":
    main()
