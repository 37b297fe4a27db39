"""What more workers bring, and what Ray Data costs: figures of docs/scale.md.

    python -m benchmarks.scale --only ray --json docs/scale.json    # the overhead of Ray, some 3 minutes
    python -m benchmarks.scale --only workers --folder /tmp/scale   # images a second with 1 and 2 workers

Each worker has one core's worth of threads, so that two of them can be compared with one on a machine of
two cores that does nothing else. Four workers run a *sleeping network*: each task sleeps instead of
computing, so that what is left is what Ray needs for handing out tasks and records.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from sat2map.bulk.manifest import TaskRecord
from sat2map.bulk.on_ray import RayBackend
from sat2map.bulk.pipeline import Backend, in_process
from sat2map.bulk.planning import plan_tasks
from sat2map.bulk.tasks import Task
from sat2map.bulk.worker import WorkOptions
from sat2map.files import atomic_write_text
from sat2map.geo.job_speeds import draw_raster
from sat2map.inference.backends import EngineOptions
from sat2map.models.bundled import bundled_model
from sat2map.runtime.cpu import processor

SIDE = 2048  # px of a raster
RASTERS = 8
EPOCHS = 12
RAY_SIDE, RAY_RASTERS = 1536, 12  # of the overhead of Ray: a second each, as a window may take ten
SLEEP, SLEEPERS = 0.5, 30  # s of a task, and tasks a worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=["ray", "workers"], default=["ray", "workers"])
    parser.add_argument("--folder", type=Path, help="a folder for data and results; it grows")
    parser.add_argument("--model", type=Path, default=bundled_model(), help="the model of the bulk jobs")
    parser.add_argument("--preset", default="tiny", help="the preset of the training")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--quick", action="store_true", help="few tasks, to see that it works")
    parser.add_argument("--json", type=Path, help="put the overhead of Ray in here, beside what is there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        if "ray" in given.only:
            measured = measure_ray(folder / "ray", given.model, quick=given.quick)
            if given.json:
                before = json.loads(given.json.read_text("utf-8")) if given.json.exists() else {}
                atomic_write_text(given.json, json.dumps({**before, "ray": measured}, indent=1) + "\n")
        if "workers" in given.only:
            compare_workers(folder, given.model, given.preset, given.workers)


class SleepingWorker:
    """What a `sat2map.bulk.on_ray.RayWorker` is, with a sleep for the translation."""

    def __init__(self, options: WorkOptions) -> None:
        """Open nothing."""

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        """Sleep for the task of a row."""
        task, began = Task.from_json(row["task"]), time.perf_counter()
        time.sleep(SLEEP)
        seconds = time.perf_counter() - began
        record = TaskRecord(task.output, task.source, "empty", seconds=seconds, at=time.time())
        return {"record": record.to_json()}


def measure_ray(folder: Path, model: Path, *, quick: bool) -> dict[str, Any]:
    """Return what Ray costs, for the network on this machine's cores and for one that sleeps."""
    side, count, sleepers = (512, 3, 4) if quick else (RAY_SIDE, RAY_RASTERS, SLEEPERS)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        draw_raster(folder / f"{number}.tif", side, 0.9)
    tasks = plan_tasks([str(path) for path in sorted(folder.glob("*.tif"))]).tasks
    engine = EngineOptions(device="cpu", threads=1)
    # One cluster for all: to start one takes as long as some of these jobs.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray as ray_cluster

    ray_cluster.init(
        address="local", num_cpus=4, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False
    )
    rows = []
    for name, workers, backend in (
        ("no Ray", 1, in_process),
        ("Ray", 1, RayBackend("local", workers=1)),
        ("Ray", 2, RayBackend("local", workers=2)),
    ):
        output = folder / f"{name}-{workers}"
        rows.append(
            measure(
                f"bundled network, {name}", workers, backend, WorkOptions(output, model, "", engine), tasks
            )
        )
    for workers in (1, 2, 4):
        sleeping = [Task("none", f"{number}.tif") for number in range(sleepers * workers)]
        backend = RayBackend("local", workers=workers, worker=SleepingWorker)
        options = WorkOptions(folder / f"sleeping-{workers}", model, "", engine)
        rows.append(measure(f"sleeping {SLEEP:g} s, Ray", workers, backend, options, sleeping))
    ray_cluster.shutdown()
    about = {"machine": describe_machine(processor().threads), "date": time.strftime("%Y-%m-%d")}
    return {**about, "side": side, "rows": rows}


def measure(
    name: str, workers: int, backend: Backend, options: WorkOptions, tasks: Sequence[Task]
) -> dict[str, Any]:
    """Run tasks; return how long they took, and what part of the workers' time was none of a task's."""
    began = time.time()
    records = list(_told(name, workers, backend(options, tasks)))
    ended = time.time()
    bad = [record.error for record in records if record.state == "failed"]
    assert not bad, bad
    assert len(records) == len(tasks)
    first = min(record.at - record.seconds for record in records)
    last = max(record.at for record in records)
    busy = sum(record.seconds for record in records)
    measured = {
        "name": name,
        "workers": workers,
        "tasks": len(tasks),
        "start": first - began,
        "tasks_seconds": last - first,
        "end": ended - last,
        "task_seconds": statistics.mean(record.seconds for record in records),
        "overhead": workers * (last - first) / busy - 1,
        "per_task": (workers * (last - first) - busy) / len(tasks),
    }
    print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in measured.items()))
    return measured


def _told(name: str, workers: int, records: Iterator[TaskRecord]) -> Iterator[TaskRecord]:
    for number, record in enumerate(records, 1):
        print(f"{name}, {workers}: {number}", end="\r", file=sys.stderr, flush=True)
        yield record
    print(file=sys.stderr)


def compare_workers(folder: Path, model: Path, preset: str, workers: Sequence[int]) -> None:
    """Print images and pixels a second of whole jobs, from start to end."""
    pairs, scenes = folder / "pairs", folder / "scenes"
    if not pairs.exists():
        sat2map("data", "synth", pairs, "--count", 256)
    if not scenes.exists():
        sat2map("data", "synth", scenes, "--georeferenced", "--count", RASTERS, "--size", SIDE)
    run = folder / time.strftime("%H%M%S")
    ways: dict[str, Callable[[int], float]] = {
        "training, torchrun (images/s)": lambda n: train(n, pairs, run / f"train-{n}", preset),
        "bulk, shards (million px/s)": lambda n: shards(n, scenes, run / f"shards-{n}", model),
        "bulk, Ray (million px/s)": lambda n: ray(n, scenes, run / f"ray-{n}", model),
    }
    print("| |" + "".join(f" {n} |" for n in workers) + " last / first |")
    print("|---|" + "---|" * (len(workers) + 1))
    for name, way in ways.items():
        speeds = [way(n) for n in workers]
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
