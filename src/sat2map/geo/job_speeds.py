"""How fast this machine translates rasters: a drawn one is translated as in a job, and its parts timed."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from sat2map.errors import SettingsError, nearest
from sat2map.geo.gdal import gdal_env
from sat2map.geo.raster_job import COARSEST
from sat2map.geo.translate_raster import RasterResult, translate_raster
from sat2map.inference import Translator
from sat2map.models.header import ModelHeader
from sat2map.runtime.cpu import processor

RUNS: Final = 3  # of the sample; the first warms up, and the others give the range
NETWORK_SIDE: Final = 1500  # px of the sample as the network sees it: some tiles, so that work overlaps
SIDES: Final = (1024, 4096)  # px; least and most of the sample
TOWN: Final = 1024  # px of the drawn town that the sample is tiled with

MACHINES: Final[dict[str, int]] = {"4-cores": 4, "16-cores": 16, "64-cores": 64}
"""Machines to reckon with, by their cores; their speed is this machine's in proportion."""


@dataclass(frozen=True)
class JobSpeeds:
    """What one machine needs for a raster, and how much that varies.

    Attributes:
        gsd: Metres per pixel of the source.
        runs_at: Metres per pixel at which the network runs.
        tile_seconds: Time of the network for a tile.
        pixel_seconds: Time for all else, for each pixel of the source: reading, resampling, drawing, and
            writing a COG with overviews, as far as the network does not hide it.
        spread: Lowest and highest time of a run, as factors of the mean.
        source_bytes: Bytes of a pixel of the source, as JPEG.
        map_bytes: Bytes of a pixel of the map, as it is written.
        engine: What ran the network.
        cores: Cores that it ran on.
        on_gpu: Whether the network ran on a GPU.
    """

    gsd: float
    runs_at: float
    tile_seconds: float
    pixel_seconds: float
    spread: tuple[float, float]
    source_bytes: float
    map_bytes: float
    engine: str
    cores: int
    on_gpu: bool = False

    def on_cores(self, cores: int) -> JobSpeeds:
        """Return the speeds of a machine with so many cores like these: in proportion, which flatters."""
        factor = self.cores / cores
        return replace(
            self,
            tile_seconds=self.tile_seconds if self.on_gpu else self.tile_seconds * factor,
            pixel_seconds=self.pixel_seconds * factor,
            cores=cores,
        )


def measure_job(translator: Translator, gsd: float, *, side: int | None = None) -> JobSpeeds:
    """Translate a drawn raster of some gsd a few times, and return how long its parts took.

    Args:
        translator: The model, with its engine.
        gsd: Metres per pixel of the sources to come.
        side: Side of the raster (px); None: as large as the network needs for some tiles.
    """
    runs_at = network_gsd_of(translator.header, gsd)
    side = side or min(max(math.ceil(NETWORK_SIDE * runs_at / gsd), SIDES[0]), SIDES[1])
    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name) / "sample.tif", Path(name) / "map.tif"
        draw_raster(source, side, gsd, bands=translator.header.generator.source_bands)
        runs: list[RasterResult] = []
        for _ in range(RUNS):
            runs.append(translate_raster(translator, source, output))
            sizes = source.stat().st_size, output.stat().st_size
            output.unlink()
    timed = runs[1:]
    seconds = [run.seconds for run in timed]
    mean = float(np.mean(seconds))
    rest = float(np.mean([run.seconds - run.network_seconds for run in timed]))
    return JobSpeeds(
        gsd=gsd,
        runs_at=runs_at,
        tile_seconds=float(np.mean([run.network_seconds / run.tiles for run in timed])),
        pixel_seconds=rest / side**2,
        spread=(min(seconds) / mean, max(seconds) / mean),
        source_bytes=sizes[0] / side**2,
        map_bytes=sizes[1] / side**2,
        engine=translator.engine.name,
        cores=processor().threads,
        on_gpu=" on cpu" not in translator.engine.name,
    )


def network_gsd_of(header: ModelHeader, gsd: float) -> float:
    """Return the gsd at which the network runs for a source, where nothing else is asked for."""
    return gsd if header.gsd is None or gsd > COARSEST * header.gsd else header.gsd


def pick_machine(name: str, here: JobSpeeds) -> JobSpeeds:
    """Return the speeds of a machine by name: `this`, or one of `MACHINES`.

    Raises:
        SettingsError: There is no such machine.
    """
    if name == "this":
        return here
    if name not in MACHINES:
        raise SettingsError(
            f"no machine is called '{name}', {nearest(name, ['this', *MACHINES])}", setting="machine"
        )
    return here.on_cores(MACHINES[name])


def draw_raster(path: Path, side: int, gsd: float, *, bands: int = 3) -> None:
    """Write a raster of a drawn town, tiled, as orthophotos often are: JPEG in blocks of 512 px.

    It has `side` px a side, of `gsd` metres each.
    """
    from sat2map.synthetic.towns import draw_town

    town = np.moveaxis(draw_town(7, size=TOWN).source, -1, 0)
    town = np.take(town, [band % len(town) for band in range(bands)], axis=0)
    packing = {"compress": "jpeg", "photometric": "ycbcr"} if bands == 3 else {"compress": "deflate"}
    place = Affine(gsd, 0, 400_000, 0, -gsd, 5_800_000)
    with gdal_env(), rasterio.open(
        path, "w", driver="GTiff", count=bands, height=side, width=side, dtype="uint8", tiled=True,
        blockxsize=512, blockysize=512, crs="EPSG:32633", transform=place, interleave="pixel", **packing,
    ) as file:  # fmt: skip
        for top in range(0, side, TOWN):
            for left in range(0, side, TOWN):
                height, width = min(TOWN, side - top), min(TOWN, side - left)
                file.write(town[:, :height, :width], window=Window(left, top, width, height))
