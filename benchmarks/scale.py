"""Images a second with one and two workers, training and translating: the figures of docs/scale.md.

Each worker has one core's worth of threads, so that two of them can be compared with one on a machine of two
cores that does nothing else. It prints a Markdown table:

    python -m benchmarks.scale --folder /tmp/scale --model runs/train/best.safetensors
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SIDE = 2048  # px of a raster
RASTERS = 8
EPOCHS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="a folder for data and results; it grows")
    parser.add_argument("--model", type=Path, required=True, help="the model of the bulk jobs")
    parser.add_argument("--preset", default="tiny", help="the recipe of the training")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    words = parser.parse_args()
    pairs, scenes = words.folder / "pairs", words.folder / "scenes"
    if not pairs.exists():
        sat2map("data", "synth", pairs, "--count", 256)
    if not scenes.exists():
        sat2map("data", "synth", scenes, "--georeferenced", "--count", RASTERS, "--size", SIDE)
    run = words.folder / time.strftime("%H%M%S")
    ways: dict[str, Callable[[int], float]] = {
        "training, torchrun (images/s)": lambda n: train(n, pairs, run / f"train-{n}", words.preset),
        "bulk, shards (million px/s)": lambda n: shards(n, scenes, run / f"shards-{n}", words.model),
        "bulk, Ray (million px/s)": lambda n: ray(n, scenes, run / f"ray-{n}", words.model),
    }
    print("| |" + "".join(f" {n} |" for n in words.workers) + " last / first |")
    print("|---|" + "---|" * (len(words.workers) + 1))
    for name, way in ways.items():
        speeds = [way(n) for n in words.workers]
        cells = "".join(f" {speed:.2f} |" for speed in speeds)
        print(f"| {name} |{cells} {speeds[-1] / speeds[0]:.2f} |", flush=True)


def train(processes: int, pairs: Path, run: Path, preset: str) -> float:
    """Return images a second of a training, the median of its lines but the first."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *torchrun, "-m", "--", "sat2map", "train", preset]
    flags = ["--data", pairs, "--run", run, "--epochs", EPOCHS, "--validate-every", EPOCHS, "--device", "cpu"]
    subprocess.run([*command, *map(str, flags)], env=one_core(), check=True, capture_output=True)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rates = [float(line["images_per_second"]) for line in lines[1:] if line["kind"] == "train"]
    return statistics.median(rates)


def shards(count: int, scenes: Path, output: Path, model: Path) -> float:
    """Return million pixels a second of so many shards side by side, from start to end."""
    start = time.perf_counter()
    running = [
        subprocess.Popen([*bulk(scenes, output, model), "--shard", f"{i}/{count}"], env=one_core())
        for i in range(count)
    ]
    assert not any(process.wait() for process in running)
    return pixels(scenes) / 1e6 / (time.perf_counter() - start)


def ray(workers: int, scenes: Path, output: Path, model: Path) -> float:
    """Return million pixels a second of so many Ray workers, from start to end."""
    start = time.perf_counter()
    words = ["--ray", "local", "--workers", str(workers)]
    subprocess.run([*bulk(scenes, output, model), *words], env=one_core(), check=True)
    return pixels(scenes) / 1e6 / (time.perf_counter() - start)


def bulk(scenes: Path, output: Path, model: Path) -> list[str]:
    words = [scenes / "*-ortho.tif", "--output", output, "--model", model, "--threads", 1, "--device", "cpu"]
    return [sys.executable, "-m", "sat2map", "bulk", *map(str, words)]


def pixels(scenes: Path) -> int:
    return len(list(scenes.glob("*-ortho.tif"))) * SIDE**2


def one_core() -> dict[str, str]:
    """Return an environment in which a process computes in one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def sat2map(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "sat2map", *map(str, words)], check=True)


if __name__ == "__main__":
    main()
