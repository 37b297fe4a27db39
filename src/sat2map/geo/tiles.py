"""Web-mercator tiles of a raster, as PNG files."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import morecantile
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from sat2map.errors import ImageError, OutputError, SettingsError
from sat2map.geo.gdal import FAILURES, gdal_env, reason
from sat2map.geo.samples import find_bands, find_mask, plain_samples, warped, without_alpha
from sat2map.geo.tile_archives import MARKER, Put, open_archive
from sat2map.geo.write import tags_of
from sat2map.images.masks import PixelMask
from sat2map.images.palette.palette import Palette
from sat2map.images.png import encode_png
from sat2map.inference.drawing import average_pixels, recolour, repaint
from sat2map.runtime.cpu import processor

SIDE = 256  # px
HIGHEST = 24
_TMS = morecantile.tms.get("WebMercatorQuad")

Bounds = tuple[float, float, float, float]
Rgba = NDArray[np.uint8]


@dataclass(frozen=True)
class TilesResult:
    """How many tiles were written, and the lowest and highest zoom level."""

    count: int
    zooms: tuple[int, int]


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
    if output.exists() and not overwrite:
        raise OutputError(
            f"{output} exists", hint="give another name, or allow overwriting", setting="overwrite"
        )
    if kind not in (".mbtiles", ".pmtiles") and output.is_dir() and not (output / MARKER).is_file():
        raise OutputError(
            f"{output} is a folder that sat2map did not write", hint="give another name", setting="output"
        )
    with gdal_env(), _open(raster) as dataset:
        bounds: Bounds = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds, densify_pts=21)
        zooms = zooms or _fitting_zooms(dataset, bounds)
        if not 0 <= zooms[0] <= zooms[1] <= HIGHEST:
            raise SettingsError(
                f"zooms {zooms[0]}-{zooms[1]}: levels go from 0 to {HIGHEST}, the lowest first",
                setting="zooms",
            )
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(_Source.open(dataset, _paint(dataset, raster, colors), raster.name))
            put = stack.enter_context(open_archive(output, _about(raster, bounds, zooms)))
            count = _cut(source, bounds, zooms, put, progress)
            if not count:
                raise ImageError(f"{raster} has no valid pixel: there is nothing to cut")
    return TilesResult(count, zooms)


@contextlib.contextmanager
def _open(raster: Path) -> Iterator[rasterio.DatasetReader]:
    if not raster.exists():
        raise ImageError(f"{raster} does not exist")
    try:
        with rasterio.open(raster) as dataset:
            if dataset.crs is None:
                raise ImageError(f"{raster} has no CRS, so it has no place on a web map")
            if dataset.dtypes[0] != "uint8":
                raise ImageError(f"{raster} has bands of {dataset.dtypes[0]}: tiles show 8 bits")
            yield dataset
    except FAILURES as error:
        raise ImageError(f"{raster} cannot be read ({reason(error)})") from None


def _fitting_zooms(dataset: rasterio.DatasetReader, bounds: Bounds) -> tuple[int, int]:
    left, bottom, right, top = transform_bounds(dataset.crs, "EPSG:3857", *dataset.bounds, densify_pts=21)
    pixel = math.hypot(right - left, top - bottom) / math.hypot(dataset.width, dataset.height)
    highest = min(int(_TMS.zoom_for_res(pixel, zoom_level_strategy="auto")), HIGHEST)
    lowest = highest
    while lowest > 0 and len(list(_TMS.tiles(*bounds, [lowest]))) > 1:
        lowest -= 1
    return lowest, highest


@dataclass(frozen=True)
class Paint:
    """How a raster's pixels become colours.

    Attributes:
        blends: Whether colours between those of two pixels' mean anything.
        finer: How many times finer the tiles are drawn before they are averaged: plain colours have smooth
            edges then.
        repaint: From colours to other colours, uint8 (h, w, 3); None: they stay.
    """

    blends: bool
    finer: int = 1
    repaint: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None


def _paint(dataset: rasterio.DatasetReader, raster: Path, colors: str | Path | None) -> Paint:
    """Return how to paint a raster.

    Raises:
        SettingsError: Other colours are asked for, and there are no map classes or no such colours.
    """
    tags = tags_of(raster)
    is_numbers = dataset.colorinterp[0] == ColorInterp.palette
    is_plain = is_numbers or tags.get("COLOURS") == "exact"
    if colors is None:
        return Paint(blends=not is_plain, finer=2 if is_plain and not is_numbers else 1)
    if tags.get("LAYER") not in ("map", "classes") or "PALETTE" not in tags:
        raise SettingsError(
            f"{raster} names no map classes",
            hint="other colours need a map of a model with a palette",
            setting="colors",
        )
    palette = Palette.from_json(tags["PALETTE"])
    drawn = recolour(palette, Palette.load(colors))
    return Paint(
        blends=False,
        finer=1 if is_numbers else 2,
        repaint=lambda colours: repaint(np.ascontiguousarray(colours), palette, drawn),
    )


@dataclass(frozen=True)
class _Source:
    """A raster to cut, and how to paint it."""

    dataset: rasterio.DatasetReader
    bands: tuple[int, ...]
    mask: PixelMask
    paint: Paint

    @classmethod
    @contextlib.contextmanager
    def open(cls, dataset: rasterio.DatasetReader, paint: Paint, name: str) -> Iterator[_Source]:
        """Find the bands to show and the mask."""
        with plain_samples(dataset) as plain:
            bands = find_bands(plain, None, 3, name, [])
            mask = find_mask(plain, bands, name, [])
            with without_alpha(plain, mask) as readable:
                yield cls(readable, bands, mask, paint)

    def strips(self, zoom: int, tiles: tuple[int, int, int, int]) -> Iterator[Rgba]:
        """Yield the rows of tiles of a level, uint8 (256, 256 × columns, 4); each is warped once."""
        left, top, right, bottom = tiles
        corner = _TMS.xy_bounds(morecantile.Tile(left, top, zoom))
        side, pixel = SIDE * self.paint.finer, (corner.right - corner.left) / SIDE / self.paint.finer
        vrt, mask = warped(
            self.dataset,
            self.mask,
            crs="EPSG:3857",
            transform=Affine(pixel, 0, corner.left, 0, -pixel, corner.top),
            width=(right - left) * side,
            height=(bottom - top) * side,
            resampling=Resampling.bilinear if self.paint.blends else Resampling.nearest,
            NUM_THREADS=processor().threads,
        )
        with vrt:
            for row in range(bottom - top):
                window = Window(0, row * side, vrt.width, side)
                values = vrt.read([*self.bands, mask.alpha], window=window)
                rgb, alpha = np.moveaxis(values[:-1], 0, -1), values[-1]
                if mask.opaque != 255:
                    alpha = mask.read(vrt, values[:-1], window=window)
                if self.paint.repaint is not None:
                    rgb = self.paint.repaint(rgb)
                yield average_pixels(np.dstack([rgb, alpha]), self.paint.finer)


def _cut(
    source: _Source,
    bounds: Bounds,
    zooms: tuple[int, int],
    put: Put,
    progress: Callable[[int, int], None],
) -> int:
    """Cut all levels in one pass: strips of the highest are averaged into those of the next one."""
    ranges = {zoom: _range(bounds, zoom) for zoom in range(zooms[0], zooms[1] + 1)}
    total = sum((right - left) * (bottom - top) for left, top, right, bottom in ranges.values())
    with ThreadPoolExecutor(processor().threads, thread_name_prefix="png") as pool:
        pyramid = _Pyramid(ranges, put, lambda done: progress(done, total), pool)
        for y, strip in enumerate(source.strips(zooms[1], ranges[zooms[1]]), ranges[zooms[1]][1]):
            pyramid.add(zooms[1], y, strip)
    return pyramid.count


class _Pyramid:
    """Writes the tiles of strips, and averages strips in pairs into those of the level above."""

    def __init__(
        self,
        ranges: dict[int, tuple[int, int, int, int]],
        put: Put,
        progress: Callable[[int], None],
        pool: ThreadPoolExecutor,
    ) -> None:
        self.count = self._done = 0
        self._ranges, self._put, self._progress, self._pool = ranges, put, progress, pool
        self._halves: dict[int, Rgba] = {}

    def add(self, zoom: int, y: int, strip: Rgba) -> None:
        """Take a row of tiles, uint8 (256, 256 × columns, 4)."""
        left, _, right, bottom = self._ranges[zoom]
        tiles = [strip[:, i * SIDE : (i + 1) * SIDE] for i in range(right - left)]
        shown = [bool(tile[..., 3].any()) for tile in tiles]
        contents = self._pool.map(
            _png, (tile for tile, is_shown in zip(tiles, shown, strict=True) if is_shown)
        )
        for x, is_shown in zip(range(left, right), shown, strict=True):
            if is_shown:
                self._put(zoom, x, y, next(contents))
                self.count += 1
            self._done += 1
            self._progress(self._done)
        if zoom - 1 not in self._ranges:
            return
        columns = self._ranges[zoom - 1][2] - self._ranges[zoom - 1][0]
        half = self._halves.setdefault(zoom - 1, np.zeros((SIDE, columns * SIDE, 4), np.uint8))
        rows, offset = slice(y % 2 * SIDE // 2, (y % 2 + 1) * SIDE // 2), left % 2 * SIDE // 2
        half[rows, offset : offset + strip.shape[1] // 2] = average_pixels(strip, 2)
        if y % 2 or y == bottom - 1:
            self.add(zoom - 1, y // 2, self._halves.pop(zoom - 1))


def _range(bounds: Bounds, zoom: int) -> tuple[int, int, int, int]:
    """Return the first column and row of tiles at a level, and those behind the last."""
    first, last = _TMS.tile(bounds[0], bounds[3], zoom), _TMS.tile(bounds[2], bounds[1], zoom)
    return first.x, first.y, last.x + 1, last.y + 1


def _png(tile: Rgba) -> bytes:
    return encode_png(np.ascontiguousarray(tile[..., :3] if (tile[..., 3] == 255).all() else tile))


def _about(raster: Path, bounds: Bounds, zooms: tuple[int, int]) -> dict[str, Any]:
    centre = [(bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2, zooms[0]]
    return {
        "name": raster.stem,
        "bounds": list(bounds),
        "center": centre,
        "minzoom": zooms[0],
        "maxzoom": zooms[1],
    }
