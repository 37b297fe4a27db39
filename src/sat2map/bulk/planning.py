"""The plan of a bulk job: what is made of each source, and how large rasters are cut."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sat2map.bulk.tasks import BulkPlan, Mosaic, Neighbourhood, Task
from sat2map.errors import Sat2MapError
from sat2map.extras import require_geo
from sat2map.geo.detect import is_raster
from sat2map.images.shared_limits import measure_shared_limits

if TYPE_CHECKING:  # where there are images alone, nothing here needs GDAL
    from sat2map.bulk.sheets import SheetInfo

BESIDE = 16  # px of the network beside its tiles that resampling looks at
OPENERS = 16  # threads that look into rasters for their sizes: it is mostly waiting


@dataclass(frozen=True)
class RasterInfo:
    """What planning needs to know of a raster: its size, and what is known of it as a sheet."""

    height: int
    width: int
    sheet: SheetInfo | None


@dataclass(frozen=True)
class Reading:
    """How rasters will be read: what decides their limits and their surroundings.

    Attributes:
        bands: Bands to read; None: red, green, blue, or the first ones.
        count: How many the model takes.
        scale: Limits of the bands; None: 8 bits as they are, or measured once.
        measure: Whether they may be measured; False: the model knows them.
        tile: Side of the network's tiles (px), 0: sheets are translated without their neighbours.
        gsd: Metres per pixel at which the network runs; None: the raster's.
    """

    bands: tuple[int, ...] | None = None
    count: int = 3
    scale: tuple[float, ...] | None = None
    tile: int = 0
    gsd: float | None = None
    measure: bool = True

    def reach(self, sheet: SheetInfo) -> int:
        """Return how far around a sheet the network looks (px of the sheet)."""
        factor = 1.0 if self.gsd is None or sheet.metres is None else self.gsd / min(sheet.metres)
        return math.ceil((self.tile + BESIDE) * max(1.0, factor))


DEFAULTS = Reading()


def plan_tasks(sources: Sequence[str], *, cut: int = 0, reading: Reading = DEFAULTS) -> BulkPlan:
    """Decide what is made of each source.

    Args:
        sources: From `find_sources`.
        cut: Rasters with a longer side are cut into windows of this side (px), and sheets of one image see
            their neighbours. Every raster is then opened once. 0: neither.
        reading: How rasters will be read.

    Raises:
        MissingExtraError: There are rasters, and the `geo` extra is not installed.
    """
    rasters = [source for source in sources if is_raster(source)]
    if rasters:
        require_geo("a raster on the ground")
    found: dict[str, RasterInfo] = {}
    around: dict[str, Neighbourhood] = {}
    scales: dict[str, tuple[float, ...]] = {}
    notes: list[str] = []
    if rasters:
        from sat2map.bulk.sheets import find_neighbourhoods
        from sat2map.geo.raster_job import RasterOptions
        from sat2map.geo.shared_scale import shared_scales

        if cut:
            with ThreadPoolExecutor(OPENERS) as pool:
                looked = pool.map(lambda source: _look_into(source, reading), rasters)
                found = {source: one for source, one in zip(rasters, looked, strict=True) if one is not None}
        infos = [one.sheet for one in found.values() if one.sheet is not None]
        for image in find_neighbourhoods(infos, reading.reach):
            around |= image
        # Without a cut no raster is opened here, and those far away would take their time.
        measured = [source for source in rasters if cut or Path(source).exists()]
        how = RasterOptions(bands=reading.bands, scale=reading.scale)
        scales, notes = shared_scales(measured if reading.measure else (), how, reading.count)
    if reading.scale is None and reading.measure:
        pictures = [Path(source) for source in sources if source not in {*rasters}]
        limits, deep = measure_shared_limits(pictures, bands=reading.count)
        if len(limits.all()) == 1:  # else each file of a rare mixture is measured in its turn
            scale = tuple(value for pair in limits.all()[0] for value in pair)
            scales |= dict.fromkeys(map(str, deep), scale)
            notes += limits.notes(len(deep))
    tasks: list[Task] = []
    mosaics: list[Mosaic] = []
    kinds = set(rasters)
    for source, name in zip(sources, _names(sources), strict=True):
        size = found.get(source)
        task = Task(
            source,
            f"{name}.{'tif' if source in kinds else 'png'}",
            scale=scales.get(source),
            around=around.get(source),
        )
        if size is None or max(size.height, size.width) <= cut:
            tasks.append(task)
        else:
            mosaics.append(_cut_up(task, name, size, cut))
            tasks.extend(mosaics[-1].tasks)
    return BulkPlan(tuple(tasks), tuple(mosaics), tuple(notes))


def _look_into(source: str, reading: Reading) -> RasterInfo | None:
    """Return what is known of a raster; what cannot be opened is reported in its turn."""
    import rasterio

    from sat2map.bulk.sheets import look_at
    from sat2map.geo.gdal import FAILURES, gdal_env

    try:
        with gdal_env(), rasterio.open(source) as dataset:
            sheet = look_at(dataset, source) if reading.tile else None
            return RasterInfo(dataset.height, dataset.width, sheet)
    except (Sat2MapError, *FAILURES):
        return None


def _cut_up(task: Task, name: str, size: RasterInfo, cut: int) -> Mosaic:
    tasks = tuple(
        replace(
            task,
            output=f"{name}/r{row:07d}-c{column:07d}.tif",
            window=(column, row, min(cut, size.width - column), min(cut, size.height - row)),
        )
        for row in range(0, size.height, cut)
        for column in range(0, size.width, cut)
    )
    return Mosaic(name, size.height, size.width, tasks)


def _names(sources: Iterable[str]) -> list[str]:
    """Return a file name a source, without suffix; namesakes get a hash of where they lie."""
    sources = list(sources)
    stems = [PurePosixPath(urlsplit(s).path if "://" in s else s).stem or "raster" for s in sources]
    counts = Counter(stem.casefold() for stem in stems)  # some file systems do not tell A from a
    return [
        stem
        if counts[stem.casefold()] == 1
        else f"{stem}-{hashlib.blake2b(source.encode(), digest_size=4).hexdigest()}"
        for source, stem in zip(sources, stems, strict=True)
    ]
