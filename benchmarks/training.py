"""Rows of training: our step and epoch next to the plain script's, on the same images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import Row
from sat2map.images.pixels import write_image
from sat2map.runtime.cpu import processor
from sat2map.settings import TrainSettings, load_settings
from sat2map.synthetic.towns import draw_town
from sat2map.training.setup import Setup, set_up

SIDE = 600  # of the JPEGs: that of the maps data set
OURS = {4: "sat2map, batch 4", 1: "sat2map, batch 1"}
PLAIN = "plain loop, batch 1, fp32"


def training_rows(
    baseline: Path | None,
    folder: Path,
    *,
    images: int,
    rounds: int,
    width: int,
    size: int = 256,
    python: Path | None = None,
) -> list[Row]:
    """Time steps and whole epochs of the paper's networks on a CPU.

    Args:
        baseline: The plain script (benchmarks/baseline.py), or None to time ours alone.
        folder: Where the images go.
        images: How many; an epoch.
        rounds: Epochs of each way, in turn.
        width: Of generator and discriminator.
        size: Crop of our steps; the plain script's is 256.
        python: The plain script's Python; None: this one.
    """
    _draw_pairs(folder, images)
    setups = {batch: set_up(_settings(folder, batch, width, size)) for batch in OURS}
    step_seconds: dict[str, list[float]] = {name: [] for name in (PLAIN, *OURS.values())}
    epochs: dict[str, list[float]] = {name: [] for name in step_seconds}
    for setup in setups.values():
        _epoch(setup, 2)
    for _ in range(rounds):
        if baseline is not None:
            told = _plain(baseline, folder / "train", images, width, python)
            epochs[PLAIN].append(told["images"] / told["seconds"])
            step_seconds[PLAIN] += told["step_seconds"]
        for batch, setup in setups.items():
            total, steps = _epoch(setup, setup.batches.per_epoch)
            epochs[OURS[batch]].append(setup.batches.per_epoch * setup.batches.size / total)
            step_seconds[OURS[batch]] += [seconds / setup.batches.size for seconds in steps]
    rows = []
    for group, table in (
        (
            f"Training step, width {width}, {size} px",
            {n: [1 / s for s in v] for n, v in step_seconds.items()},
        ),
        (f"Training, whole epoch of {images} JPEGs of {SIDE} px", epochs),
    ):
        plain = float(np.median(table[PLAIN])) if table[PLAIN] else None
        for name, values in table.items():
            if values:
                ratio = None if plain is None or name == PLAIN else float(np.median(values)) / plain
                rows.append(Row.of(group, name, values, "images/s", ratio=ratio))
        if plain is not None and table is epochs:
            best = float(np.median(table[OURS[4]])) / plain
            limit = 3.75 if processor().multiplies_bf16 else 1.8
            rows.append(Row.of(group, "batch 4 over the plain loop", [best], "x", limit=limit, at_least=True))
    return rows


def waiting_rows(folder: Path, *, steps: int) -> list[Row]:
    """Take the share of the time in which the default recipe waits for data, on the pairs in the folder."""
    setup = set_up(load_settings("default", data=folder, run=folder / "run", device="cpu", pretrained="none"))
    _epoch(setup, 1)
    total, seconds = _epoch(setup, steps)
    share = 100 * (total - sum(seconds)) / total
    group = "Training of the preset default"
    return [
        Row.of(group, "step", seconds, "s", note=f"batch {setup.batches.size}"),
        Row.of(group, "waiting for data", [share], "% of the time", limit=3.0),
    ]


def _settings(folder: Path, batch: int, width: int, size: int) -> TrainSettings:
    return load_settings(
        "paper",
        data=folder,
        run=folder / "run",
        device="cpu",
        batch_size=batch,
        width=width,
        discriminator_width=width,
        crop_size=size,
        image_size=size,
        load_size=size + size // 8,
    )


def _draw_pairs(folder: Path, count: int) -> None:
    towns = [draw_town(8_200_000 + i, size=SIDE) for i in range(min(count, 8))]
    for split, number in (("train", count), ("val", 1)):
        for i in range(number):
            town = towns[i % len(towns)]
            write_image(folder / split / f"{i:04d}.jpg", np.hstack([town.source, town.target]))


def _epoch(setup: Setup, steps: int) -> tuple[float, list[float]]:
    step = setup.make_step()
    seconds = []
    began = time.perf_counter()
    for i in range(steps):
        batch = setup.batches(i)
        at = time.perf_counter()
        losses = step(batch, i)
        seconds.append(time.perf_counter() - at)
    float(losses["g"])
    return time.perf_counter() - began, seconds


def _plain(script: Path, folder: Path, steps: int, width: int, python: Path | None) -> dict[str, Any]:
    command = [
        str(python or sys.executable),
        str(script),
        str(folder),
        "--steps",
        str(steps),
        "--width",
        str(width),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told
