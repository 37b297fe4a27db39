"""Web-mercator tiles of a raster: MBTiles, PMTiles, or a folder of PNG files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import morecantile
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.windows import Window

from sat2map.errors import ImageError, OutputError, SettingsError
from sat2map.files import locks, refuse_existing
from sat2map.geo.gdal import FAILURES, gdal_env, reason
from sat2map.geo.georeference import read_grid, reject_container
from sat2map.geo.grid import GeoGrid
from sat2map.geo.samples import find_bands, find_mask, plain_samples, warped, without_alpha
from sat2map.geo.tile_archives import MARKER, Put, open_archive
from sat2map.geo.web_mercator import HIGHEST_ZOOM, SIDE, Coverage, CoveragePart, find_coverage
from sat2map.geo.write import tags_of
from sat2map.images.masks import PixelMask
from sat2map.images.palette.palette import Palette
from sat2map.images.png import encode_png
from sat2map.inference.drawing import average_pixels, recolour, repaint

MAX_TILES = 50_000_000  # of a zoom level; more are a mistake
_TMS = morecantile.tms.get("WebMercatorQuad")

Tile = tuple[NDArray[np.uint8], NDArray[np.uint8]]


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
    crs: str | None = None,
    colors: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TilesResult:
    """Cut a raster into XYZ tiles of 256 px, PNG with transparency; empty tiles are left out.

    Args:
        raster: An 8-bit raster with a CRS.
        output: .mbtiles, .pmtiles, or a folder, which gets {z}/{x}/{y}.png and a tiles.json.
        zooms: Lowest and highest zoom level; None: from one tile to the raster's own resolution.
        crs: The raster's CRS, where the file names none or a wrong one.
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
        grid = read_grid(dataset, str(raster), [], crs=crs)
        coverage = find_coverage(grid, str(raster))
        zooms = zooms or coverage.zooms()
        _check_zooms(zooms, coverage)
        paint = _find_paint(dataset, raster, colors)
        about = _about(raster, coverage, zooms)
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


@dataclass(frozen=True)
class Paint:
    """How a raster's pixels become colours.

    Attributes:
        is_numbers: Whether they are numbers of colours, of which no mean is taken.
        is_plain: Whether they have the colours of a palette, between which nothing lies.
        repaint: From colours to other colours, uint8 (h, w, 3); None: they stay.
    """

    is_numbers: bool
    is_plain: bool
    repaint: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None

    @property
    def finer(self) -> int:
        """How many times finer tiles are drawn before they are averaged: plain colours get smooth edges."""
        return 2 if self.is_plain and not self.is_numbers else 1


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
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(plain_samples(dataset))
        bands = find_bands(plain, None, 3, name, [])
        mask = find_mask(plain, bands, name, [])
        plain = stack.enter_context(without_alpha(plain, mask))
        readers = [
            _TileReader(stack, plain, bands, mask, grid, part, zooms[1], paint) for part in coverage.parts
        ]

        def make(zoom: int, x: int, y: int) -> Tile | None:
            nonlocal done, count
            if not coverage.touches(zoom, x, y):
                return None
            tile: Tile | None
            if zoom == zooms[1]:
                tile = _overlaid([reader.read(x, y) for reader in readers if x in reader.columns])
            else:
                tile = _reduced(
                    [[make(zoom + 1, 2 * x + i, 2 * y + j) for i in (0, 1)] for j in (0, 1)],
                    blend=not paint.is_numbers,
                )
            progress(done, total)
            done += 1
            if tile is None or not tile[1].any():
                return None
            put(zoom, x, y, _png(*tile))
            count += 1
            return tile

        for y in coverage.parts[0].rows(zooms[0]):
            for x in sorted({x for part in coverage.parts for x in part.columns(zooms[0])}):
                make(zooms[0], x, y)
    progress(total, total)
    return count


def _reduced(children: list[list[Tile | None]], *, blend: bool) -> Tile | None:
    """Return one tile of four: of each two by two pixels, the mean or the first of those that are valid.

    The mask becomes their mean, but at least 1 where one of them is valid: the smallest raster stays there.
    """
    known = [tile for row in children for tile in row if tile is not None]
    if not known:
        return None
    values = np.zeros((len(known[0][0]), 2 * SIDE, 2 * SIDE), np.uint8)
    mask = np.zeros((2 * SIDE, 2 * SIDE), np.uint8)
    for j, row in enumerate(children):
        for i, tile in enumerate(row):
            if tile is not None:
                rows, columns = slice(j * SIDE, (j + 1) * SIDE), slice(i * SIDE, (i + 1) * SIDE)
                values[:, rows, columns], mask[rows, columns] = tile
    fours = values.reshape(-1, SIDE, 2, SIDE, 2).transpose(0, 1, 3, 2, 4).reshape(-1, SIDE, SIDE, 4)
    masks = mask.reshape(SIDE, 2, SIDE, 2).transpose(0, 2, 1, 3).reshape(SIDE, SIDE, 4)
    weights = masks.sum(axis=-1, dtype=np.uint32)
    if blend:
        sums = (fours.astype(np.uint32) * masks).sum(axis=-1, dtype=np.uint32)
        reduced = ((sums + weights // 2) // np.maximum(weights, 1)).astype(np.uint8)
    else:
        first = (masks > 0).argmax(axis=-1)[None, ..., None]
        reduced = np.take_along_axis(fours, first, axis=-1)[..., 0]
    return reduced, np.where(weights > 0, np.maximum((weights + 2) // 4, 1), 0).astype(np.uint8)


class _TileReader:
    """Reads the tiles of one zoom level from one part of a raster."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        dataset: rasterio.DatasetReader,
        bands: tuple[int, ...],
        mask: PixelMask,
        grid: GeoGrid,
        part: CoveragePart,
        zoom: int,
        paint: Paint,
    ) -> None:
        self._paint, self._side = paint, SIDE * paint.finer
        self.columns, self._rows, self._bands = part.columns(zoom), part.rows(zoom), bands
        corner = _TMS.xy_bounds(morecantile.Tile(self.columns.start, self._rows.start, zoom))
        pixel = (corner.right - corner.left) / self._side
        vrt, self._mask = warped(
            dataset,
            mask,
            src_crs=grid.crs,
            src_transform=Affine.translation(part.shift, 0) @ grid.transform,
            crs="EPSG:3857",
            transform=Affine(pixel, 0, corner.left, 0, -pixel, corner.top),
            width=len(self.columns) * self._side,
            height=len(self._rows) * self._side,
            resampling=Resampling.nearest if paint.is_plain else Resampling.bilinear,
        )
        self._vrt = stack.enter_context(vrt)

    def read(self, x: int, y: int) -> Tile:
        """Return a tile's pixels, uint8 (bands, 256, 256), and mask, uint8 (256, 256)."""
        side, paint = self._side, self._paint
        window = Window((x - self.columns.start) * side, (y - self._rows.start) * side, side, side)
        values = self._vrt.read(self._bands, window=window)
        mask = self._mask.read(self._vrt, values, window=window)
        if paint.repaint is not None:
            values = np.moveaxis(paint.repaint(np.ascontiguousarray(np.moveaxis(values, 0, -1))), -1, 0)
        if paint.finer > 1:
            averaged = average_pixels(np.dstack([np.moveaxis(values, 0, -1), mask]), paint.finer)
            values, mask = np.moveaxis(averaged[..., :-1], -1, 0), averaged[..., -1]
        return values, mask


def _overlaid(tiles: list[Tile]) -> Tile:
    """Return one tile of those of the two sides of 180 degrees."""
    values, mask = tiles[0]
    for others, valid in tiles[1:]:
        values, mask = np.where(mask > 0, values, others), np.maximum(mask, valid)
    return values, mask


def _png(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> bytes:
    whole = bool((mask == 255).all())
    image = np.moveaxis(pixels if whole else np.concatenate([pixels, mask[None]]), 0, -1)
    return encode_png(np.ascontiguousarray(image))


def _about(raster: Path, coverage: Coverage, zooms: tuple[int, int]) -> dict[str, Any]:
    return {
        "name": raster.stem,
        "bounds": list(coverage.bounds),
        "center": [*coverage.centre, zooms[0]],
        "minzoom": zooms[0],
        "maxzoom": zooms[1],
    }
