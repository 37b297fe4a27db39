"""Owns the rows of daily use: a folder of images, start-up, and the peak of memory."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.bench.table import Row
from sat2map.data.synthetic import draw_town
from sat2map.engines import Engine, EngineName, open_engine
from sat2map.model_file import ModelHeader
from sat2map.pixels import write_image
from sat2map.translate import Translator
from sat2map.translate.images import plan_jobs, translate_images

SIDE = 600

_FIRST_IMAGE = """
import numpy as np
from sat2map.translate import Translator
translator = Translator.open({model!r}, engine={engine!r}, device="cpu", low_memory={low})
translator(np.zeros(({side}, {side}, 3), np.uint8))
"""
# Where the system tells it, the peak since the program began: ru_maxrss counts the parent's before it too.
_PEAK = """
import pathlib, resource
status = pathlib.Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
peak = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
print(peak[0] if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class _Timed:
    """An engine that adds up the time spent in it."""

    def __init__(self, engine: Engine) -> None:
        self.header: ModelHeader = engine.header
        self.name = engine.name
        self.seconds = 0.0
        self._engine = engine

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        began = time.perf_counter()
        output = self._engine(source)
        self.seconds += time.perf_counter() - began
        return output


def folder_row(model: Path, folder: Path, *, count: int, threads: int) -> Row:
    """Translate a folder of JPEGs of 600 px, and compare with the time in the network alone."""
    inputs = folder / "inputs"
    towns = [draw_town(8_100_000 + i, size=SIDE).source for i in range(min(8, count))]
    for i in range(count):
        write_image(inputs / f"{i:04d}.jpg", towns[i % len(towns)])
    engine = _Timed(open_engine(model, device="cpu", threads=threads))
    translator = Translator(engine)
    translator(towns[0])
    engine.seconds = 0.0
    jobs = plan_jobs([inputs], folder / "maps")
    began = time.perf_counter()
    failed = translate_images(translator, jobs, lambda job, error: None)
    seconds = time.perf_counter() - began
    assert not failed
    note = f"{seconds / engine.seconds:.2f} of the time in the network alone; {engine.name}"
    return Row.of(f"A folder of {count} JPEGs of {SIDE} x {SIDE} px", model.name, [seconds], "s", note=note)


def start_rows(model: Path, engines: list[EngineName], *, rounds: int) -> list[Row]:
    """Start Python, open the model and translate one image of 256 px, in a process of its own each time."""
    seconds: dict[EngineName, list[float]] = {engine: [] for engine in engines}
    for i in range(rounds + 1):
        for engine in engines:
            began = time.perf_counter()
            _run(_FIRST_IMAGE.format(model=str(model), engine=engine, low=False, side=256))
            if i:  # the first reads the files from disk
                seconds[engine].append(time.perf_counter() - began)
    return [
        Row.of("Start of the process to the first image", engine, times, "s")
        for engine, times in seconds.items()
    ]


def memory_rows(model: Path, engines: list[EngineName], *, side: int) -> list[Row]:
    """Take the peak of memory of a process that translates one image."""
    rows = []
    for engine in engines:
        for low in (False, True) if engine != "torch" else (False,):
            code = _FIRST_IMAGE.format(model=str(model), engine=engine, low=low, side=side) + _PEAK
            kilobytes = int(_run(code)) / (1024 if sys.platform == "darwin" else 1)
            name = engine + (", low memory" if low else "")
            group = f"Peak memory, one image of {side} x {side} px"
            rows.append(Row.of(group, name, [kilobytes / 1024], "MiB"))
    return rows


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
