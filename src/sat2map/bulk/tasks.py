"""Tasks of a bulk job: a whole source each, or a window of a very large one."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from sat2map.errors import SettingsError
from sat2map.extras import require_geo
from sat2map.geo.detect import is_raster

OPENERS = 16  # threads that look into rasters for their sizes: it is mostly waiting

Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Task:
    """One output to make.

    Attributes:
        source: A path or an address.
        output: Its file, relative to the job's folder.
        window: Column, row, width and height of the part; None: all of it.
        scale: Limits of the source's bands, measured once over the whole source; None: to be found.
    """

    source: str
    output: str
    window: Window | None = None
    scale: tuple[float, ...] | None = None

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Task:
        """Read what `to_json` returns."""
        values = json.loads(line)
        window, scale = values["window"], values["scale"]
        return cls(
            values["source"],
            values["output"],
            None if window is None else (window[0], window[1], window[2], window[3]),
            None if scale is None else tuple(scale),
        )


@dataclass(frozen=True)
class Mosaic:
    """A source that was cut: its windows' outputs are put together again.

    Attributes:
        name: What the whole is called, without a suffix.
        height: Rows of the source.
        width: Columns.
        tasks: Its windows.
    """

    name: str
    height: int
    width: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Plan:
    """All tasks of a job, in an order that depends on the inputs alone, and what was cut."""

    tasks: tuple[Task, ...]
    mosaics: tuple[Mosaic, ...] = ()

    def shard(self, number: int, count: int) -> tuple[Task, ...]:
        """Return every `count`-th task from `number` on: the shards are equal to within one task.

        Raises:
            SettingsError: There is no such shard.
        """
        if count < 1 or not 0 <= number < count:
            raise SettingsError(
                f"there is no shard {number}/{count}",
                hint=f"shards count from 0, so {count} of them are 0/{count} to {count - 1}/{count}",
                setting="shard",
            )
        return self.tasks[number::count]


@dataclass(frozen=True)
class Size:
    """What planning needs to know of a raster: rows, columns, and the limits of its bands."""

    height: int
    width: int
    scale: tuple[float, ...] | None


def plan_tasks(
    sources: Sequence[str],
    *,
    cut: int = 0,
    bands: tuple[int, ...] | None = None,
    count: int = 3,
    scale: tuple[float, ...] | None = None,
) -> Plan:
    """Decide what is made of each source.

    Args:
        sources: From `find_sources`.
        cut: Rasters with a longer side are cut into windows of this side (px); 0: none are. Every raster is
            then opened once, to learn its size.
        bands: Bands to read.
        count: How many the model takes.
        scale: Limits of the bands; None: 8 bits as they are, or measured over the whole raster, once.

    Raises:
        MissingExtraError: There are rasters, and the `geo` extra is not installed.
    """
    rasters = [source for source in sources if is_raster(source)]
    if rasters:
        require_geo("a raster on the ground")
    sizes: dict[str, Size | None] = {}
    if cut:
        with ThreadPoolExecutor(OPENERS) as pool:
            found = pool.map(lambda source: _look_into(source, cut, bands, count, scale), rasters)
            sizes = dict(zip(rasters, found, strict=True))
    tasks: list[Task] = []
    mosaics: list[Mosaic] = []
    kinds = set(rasters)
    for source, name in zip(sources, _names(sources), strict=True):
        size = sizes.get(source)
        if size is None:
            tasks.append(Task(source, f"{name}.{'tif' if source in kinds else 'png'}"))
        else:
            mosaics.append(_cut_up(source, name, size, cut))
            tasks.extend(mosaics[-1].tasks)
    return Plan(tuple(tasks), tuple(mosaics))


def _look_into(
    source: str, cut: int, bands: tuple[int, ...] | None, count: int, scale: tuple[float, ...] | None
) -> Size | None:
    """Return the size of a raster that is to be cut; what cannot be opened is reported in its turn."""
    import rasterio

    from sat2map.errors import Sat2MapError
    from sat2map.geo.gdal import FAILURES, gdal_env
    from sat2map.geo.read import open_raster

    try:
        with gdal_env():
            with rasterio.open(source) as dataset:
                height, width = dataset.height, dataset.width
            if max(height, width) <= cut:
                return None
            with open_raster(source, bands=bands, count=count, scale=scale) as raster:
                limits = raster.scale
    except (Sat2MapError, *FAILURES):
        return None
    return Size(height, width, None if limits is None else tuple(v for pair in limits for v in pair))


def _cut_up(source: str, name: str, size: Size, cut: int) -> Mosaic:
    tasks = tuple(
        Task(
            source,
            f"{name}/r{row:07d}-c{column:07d}.tif",
            (column, row, min(cut, size.width - column), min(cut, size.height - row)),
            size.scale,
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
        stem if counts[stem.casefold()] == 1 else f"{stem}-{_hash(source)}"
        for source, stem in zip(sources, stems, strict=True)
    ]


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
