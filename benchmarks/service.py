"""Rows of daily use: a folder of images, start-up, and peak memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.table import Row
from sat2map.images.pixels import write_image
from sat2map.inference import Translator
from sat2map.inference.backends import EngineName, EngineOptions, Uint8Backend, open_engine
from sat2map.inference.image_files import for_pictures, plan_jobs, translate_images
from sat2map.models.model_file import ModelHeader
from sat2map.synthetic.towns import draw_town

SIDE = 600
T = TypeVar("T", bound=np.generic)

_FIRST_IMAGE = """
import numpy as np
from sat2map.inference import Translator
translator = Translator.open({model!r}, engine={engine!r}, device="cpu", low_memory={low}, image_only=True)
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
    """An engine that adds up the time spent in it (see `sat2map.inference.backends.Uint8Backend`)."""

    def __init__(self, engine: Uint8Backend) -> None:
        self.header: ModelHeader = engine.header
        self.name = engine.name
        self.streams = engine.streams
        self.seconds = 0.0
        self._engine = engine

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._timed(self._engine, source)

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._timed(self._engine.predict, pixels)

    def _timed(self, call: Callable[[NDArray[T]], NDArray[T]], given: NDArray[T]) -> NDArray[T]:
        began = time.perf_counter()
        found = call(given)
        self.seconds += time.perf_counter() - began
        return found


def folder_row(model: Path, folder: Path, *, count: int, threads: int) -> Row:
    """Translate a folder of JPEGs of 600 px as the command does, and compare with the network alone.

    Alone means that nothing else runs: one picture after the other, already decoded, some before the folder
    and some after it.
    """
    inputs = folder / "inputs"
    towns = [draw_town(8_100_000 + i, size=SIDE).source for i in range(min(8, count))]
    inputs.mkdir(parents=True)
    for i in range(count):  # at the quality of the maps data set
        Image.fromarray(towns[i % len(towns)]).save(inputs / f"{i:04d}.jpg", quality=75)
    options = EngineOptions(device="cpu", threads=threads)
    alone, many = (open_engine(model, for_pictures(options, n)) for n in (1, count))
    assert isinstance(alone, Uint8Backend)
    network, translator = _Timed(alone), Translator(many)
    _translate_each(Translator(network), towns[:2])
    _translate_each(translator, towns[:2])
    network.seconds = 0.0
    _translate_each(Translator(network), towns + towns)
    began = time.perf_counter()
    failed = translate_images(translator, plan_jobs([inputs], folder / "maps"), lambda job, error: None)
    seconds = time.perf_counter() - began
    assert not failed
    _translate_each(Translator(network), towns + towns)
    needed = network.seconds / (4 * len(towns)) * count
    note = f"{seconds / needed:.2f} of the time in the network alone; {alone.name}"
    return Row.of(f"A folder of {count} JPEGs of {SIDE} x {SIDE} px", model.name, [seconds], "s", note=note)


def _translate_each(translator: Translator, pictures: list[NDArray[np.uint8]]) -> None:
    for picture in pictures:
        translator(picture)


def start_rows(model: Path, engines: list[EngineName], folder: Path, *, rounds: int) -> list[Row]:
    """Run the command on one image of 256 px: from its start to its end, with the map on the disk."""
    photo = folder / "photo.png"
    write_image(photo, draw_town(8_100_000, size=256).source)
    seconds: dict[EngineName, list[float]] = {engine: [] for engine in engines}
    for i in range(rounds + 1):
        for engine in engines:
            words = [str(photo), "--model", str(model), "--engine", engine, "--device", "cpu", "--overwrite"]
            began = time.perf_counter()
            _run("-m", "sat2map", "translate", *words, "--output", str(folder / "map.png"))
            if i:  # the first reads the files from disk
                seconds[engine].append(time.perf_counter() - began)
    return [
        Row.of("Start of the command to the first image on the disk", f"--engine {engine}", times, "s")
        for engine, times in seconds.items()
    ]


def memory_rows(model: Path, engines: list[EngineName], *, side: int) -> list[Row]:
    """Take the peak of memory of a process that translates one image."""
    rows = []
    for engine in engines:
        for low in (False, True) if engine != "torch" else (False,):
            code = _FIRST_IMAGE.format(model=str(model), engine=engine, low=low, side=side) + _PEAK
            kilobytes = int(_run("-c", code)) / (1024 if sys.platform == "darwin" else 1)
            name = engine + (", low memory" if low else "")
            group = f"Peak memory, one image of {side} x {side} px"
            rows.append(Row.of(group, name, [kilobytes / 1024], "MiB"))
    return rows


def _run(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
