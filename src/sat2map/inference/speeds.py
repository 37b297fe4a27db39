"""The speeds of this machine at decoding, translating and writing, measured in a few seconds."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sat2map.errors import SettingsError, nearest
from sat2map.inference import Translator
from sat2map.models.model_file import ModelHeader
from sat2map.runtime.cpu import processor

MEASURE_SECONDS = 1.5  # time spent on each stage
SAMPLE_SIDE = 1024  # px of the picture that is decoded and written

MACHINES: dict[str, int] = {"4-cores": 4, "16-cores": 16, "64-cores": 64}
"""Machines to reckon with, by their cores; their speed is this machine's in proportion."""


@dataclass(frozen=True)
class Speeds:
    """What one machine does in a second, in pixels of the source.

    Attributes:
        decode: Pixels decoded from JPEG.
        inference: Pixels through the network, the overlap of tiles taken off.
        write: Pixels of the map compressed.
        source_bytes: Bytes of a pixel of the source, as JPEG.
        map_bytes: Bytes of a pixel of the map, compressed without loss.
        engine: What ran the network.
        cores: Cores that it ran on.
        on_gpu: Whether the network ran on a GPU, and left the cores to the rest.
    """

    decode: float
    inference: float
    write: float
    source_bytes: float
    map_bytes: float
    engine: str
    cores: int
    on_gpu: bool = False

    def on_cores(self, cores: int) -> Speeds:
        """Return the speeds of a machine with so many cores like these: in proportion, which flatters."""
        factor = cores / self.cores
        return replace(
            self,
            decode=self.decode * factor,
            inference=self.inference if self.on_gpu else self.inference * factor,
            write=self.write * factor,
            cores=cores,
        )


def measure(translator: Translator, *, seconds: float = MEASURE_SECONDS) -> Speeds:
    """Measure this machine for a few seconds: decoding, the network, writing.

    Args:
        translator: The model, with its engine.
        seconds: Time for each of the three.
    """
    header, grid = translator.header, translator.grid
    picture = _picture(header)
    jpeg = io.BytesIO()
    Image.fromarray(np.repeat(picture[..., :1], 3, axis=2)).save(jpeg, "JPEG", quality=85)
    drawn = translator(picture[: grid.tile, : grid.tile])
    drawn = np.tile(drawn, (-(-SAMPLE_SIDE // grid.tile), -(-SAMPLE_SIDE // grid.tile), 1))
    drawn = np.ascontiguousarray(np.repeat(drawn[:SAMPLE_SIDE, :SAMPLE_SIDE, :1], 3, axis=2))
    png = io.BytesIO()
    Image.fromarray(drawn).save(png, "PNG", compress_level=1)
    tile = np.zeros((1, header.generator.source_bands, grid.tile, grid.tile), np.float32)
    area, cores = SAMPLE_SIDE**2, processor().threads

    def decode() -> None:
        Image.open(io.BytesIO(jpeg.getvalue())).load()

    def write() -> None:
        Image.fromarray(drawn).save(io.BytesIO(), "PNG", compress_level=1)

    # Decoding and compressing here take one core; the network takes them all.
    return Speeds(
        decode=area * cores / _seconds(decode, seconds),
        inference=grid.stride**2 / _seconds(lambda: translator.network(tile), seconds),
        write=area * cores / _seconds(write, seconds),
        source_bytes=jpeg.tell() / area,
        map_bytes=png.tell() / area,
        engine=translator.engine.name,
        cores=cores,
        on_gpu=" on cpu" not in translator.engine.name,
    )


def pick_machine(name: str, here: Speeds) -> Speeds:
    """Return the speeds of a machine by name: `this`, or one of `MACHINES`.

    Raises:
        SettingsError: There is no such machine.
    """
    if name == "this":
        return here
    if name not in MACHINES:
        raise SettingsError(f"no machine is called '{name}', {nearest(name, ['this', *MACHINES])}")
    return here.on_cores(MACHINES[name])


def _picture(header: ModelHeader) -> NDArray[np.uint8]:
    """Return a drawn aerial picture of `SAMPLE_SIDE` px, uint8 (side, side, source_bands)."""
    from sat2map.synthetic.towns import draw_town

    town = draw_town(0, size=512).source
    tiled = np.tile(town, (SAMPLE_SIDE // 512, SAMPLE_SIDE // 512, 1))
    bands = header.generator.source_bands
    return np.ascontiguousarray(np.take(tiled, [i % tiled.shape[2] for i in range(bands)], axis=2))


def _seconds(call: Callable[[], object], seconds: float) -> float:
    """Return how long a call takes: the median of as many as there is time for, and of three at least."""
    call()  # the first one allocates
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < until:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))
