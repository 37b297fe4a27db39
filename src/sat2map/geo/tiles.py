"""Web-mercator tiles of a raster: MBTiles, PMTiles, or a folder of PNG files."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import rasterio
from rasterio.enums import ColorInterp

from sat2map.errors import ImageError, OutputError, SettingsError
from sat2map.files import locks, refuse_existing
from sat2map.geo.gdal import FAILURES, gdal_env, reason
from sat2map.geo.georeference import read_grid, reject_container
from sat2map.geo.grid import GeoGrid
from sat2map.geo.samples import find_bands, find_mask, without_alpha
from sat2map.geo.tile_archives import MARKER, Put, open_archive
from sat2map.geo.tile_pixels import Paint, Tile, TileReader, overlaid, reduced, tile_png
from sat2map.geo.web_mercator import HIGHEST_ZOOM, Coverage, find_coverage
from sat2map.geo.write import tags_of
from sat2map.images.palette.palette import Palette
from sat2map.images.palette.recolour import recolour, repaint
from sat2map.images.vrt import plain_samples
from sat2map.runtime.cpu import processor

MAX_TILES = 50_000_000  # of a zoom level; more are a mistake


@dataclass(frozen=True)
class TilesResult:
    """How many tiles were written, and the lowest and highest zoom level."""

    count: int
    zooms: tuple[int, int]


@locks("output")
def write_tiles(
    raster: Path,
    output: Path,
    *,
    zooms: tuple[int, int] | None = None,
    colors: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TilesResult:
    """Cut a raster into XYZ tiles of 256 px, PNG with transparency; empty tiles are left out.

    Args:
        raster: An 8-bit raster with a CRS.
        output: .mbtiles, .pmtiles, or a folder, which gets {z}/{x}/{y}.png and a tiles.json.
        zooms: Lowest and highest zoom level; None: from one tile to the raster's own resolution.
        colors: Name or file of the colours in which the classes of a map are drawn; None: as they are.
        overwrite: Whether what is there may be replaced.
        progress: Called with tiles done and tiles in all.

    Raises:
        ImageError: The raster cannot be read, or lies nowhere.
        SettingsError: The zoom levels are out of range, or the colours do not fit the raster.
        OutputError: The output exists, or cannot be written.
    """
    kind = output.suffix.lower()
    refuse_existing(output, overwrite=overwrite)
    if kind not in (".mbtiles", ".pmtiles") and output.is_dir() and not (output / MARKER).is_file():
        raise OutputError(
            f"{output} is a folder that sat2map did not write", hint="choose another name", setting="output"
        )
    with gdal_env(), _open(raster) as dataset:
        grid = read_grid(dataset, str(raster), [])
        coverage = find_coverage(grid, str(raster))
        zooms = zooms or coverage.zooms()
        _check_zooms(zooms, coverage)
        paint = _find_paint(dataset, raster, colors)
        about = {
            "name": raster.stem,
            "bounds": list(coverage.bounds),
            "center": [*coverage.centre, zooms[0]],
            "minzoom": zooms[0],
            "maxzoom": zooms[1],
        }
        with open_archive(output, about) as put:
            count = _cut(dataset, raster.name, paint, grid, coverage, zooms, put, progress)
            if not count:
                raise ImageError(f"{raster} has no valid pixel: there is nothing to cut")
    return TilesResult(count, zooms)


@contextlib.contextmanager
def _open(raster: Path) -> Iterator[rasterio.DatasetReader]:
    if not raster.exists():
        raise ImageError(f"{raster} does not exist")
    try:
        with rasterio.open(raster) as dataset:
            reject_container(dataset, str(raster))
            if dataset.dtypes[0] != "uint8":
                raise ImageError(f"{raster} has bands of {dataset.dtypes[0]}: tiles show 8 bits")
            yield dataset
    except FAILURES as error:
        raise ImageError(f"{raster} cannot be read ({reason(error)})") from None


def _find_paint(dataset: rasterio.DatasetReader, raster: Path, colors: str | Path | None) -> Paint:
    """Return how to paint a raster.

    Raises:
        SettingsError: Other colours are asked for, and there are no map classes or no such colours.
    """
    tags = tags_of(raster)
    is_numbers = dataset.colorinterp[0] == ColorInterp.palette
    if colors is None:
        return Paint(is_numbers, is_numbers or tags.get("COLOURS") == "exact")
    if tags.get("LAYER") not in ("map", "classes") or "PALETTE" not in tags:
        raise SettingsError(
            f"{raster} names no map classes",
            hint="other colours need a map of a model with a palette",
            setting="colors",
        )
    palette = Palette.from_json(tags["PALETTE"])
    drawn = recolour(palette, Palette.load(colors))
    return Paint(is_numbers, is_plain=True, repaint=partial(repaint, palette=palette, drawn=drawn))


def _check_zooms(zooms: tuple[int, int], coverage: Coverage) -> None:
    if not 0 <= zooms[0] <= zooms[1] <= HIGHEST_ZOOM:
        raise SettingsError(
            f"zoom levels {zooms[0]} to {zooms[1]}",
            hint=f"they go from 0 to {HIGHEST_ZOOM}, the lowest first",
            setting="zooms",
        )
    count = coverage.count(zooms[1])
    if count > MAX_TILES:
        raise SettingsError(
            f"zoom level {zooms[1]} has {count:,} tiles there", hint="choose a lower one", setting="zooms"
        )


def _cut(
    dataset: rasterio.DatasetReader,
    name: str,
    paint: Paint,
    grid: GeoGrid,
    coverage: Coverage,
    zooms: tuple[int, int],
    put: Put,
    progress: Callable[[int, int], None],
) -> int:
    """Cut the tiles of the highest zoom level, and reduce them four by four into those above.

    Tiles are visited depth first, so only a few are in memory, and each pixel is resampled once. However
    small a raster is, some pixel of each level shows it.
    """
    total = sum(coverage.count(zoom) for zoom in range(zooms[0], zooms[1] + 1))
    done = count = 0
    threads = processor().threads
    waiting: deque[tuple[int, int, int, Future[bytes]]] = deque()  # tiles that are being encoded
    limit = 4 * threads
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(threads, thread_name_prefix="png"))
        plain = stack.enter_context(plain_samples(dataset))
        bands = find_bands(plain, None, 3, name, [])
        mask = find_mask(plain, bands, name, [])
        plain = stack.enter_context(without_alpha(plain, mask))
        readers = [
            TileReader(stack, plain, bands, mask, grid, part, zooms[1], paint) for part in coverage.parts
        ]

        def make(zoom: int, x: int, y: int) -> Tile | None:
            nonlocal done, count
            if not coverage.touches(zoom, x, y):
                return None
            if zoom == zooms[1]:
                tile: Tile | None = overlaid([reader.read(x, y) for reader in readers if x in reader.columns])
            else:
                tile = reduced(
                    [[make(zoom + 1, 2 * x + i, 2 * y + j) for i in (0, 1)] for j in (0, 1)],
                    blend=not paint.is_numbers,
                )
            progress(done, total)
            done += 1
            if tile is None or not tile[1].any():
                return None
            waiting.append((zoom, x, y, pool.submit(tile_png, tile)))
            if len(waiting) > limit:
                put_first()
            count += 1
            return tile

        def put_first() -> None:
            level, column, row, content = waiting.popleft()
            put(level, column, row, content.result())

        for y in coverage.parts[0].rows(zooms[0]):
            for x in sorted({x for part in coverage.parts for x in part.columns(zooms[0])}):
                make(zooms[0], x, y)
        while waiting:
            put_first()
    progress(total, total)
    return count
