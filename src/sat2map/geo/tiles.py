"""Web-mercator tiles of a raster: MBTiles, PMTiles, or a folder of PNG files."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import morecantile
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from pmtiles.convert import mbtiles_to_pmtiles
from rasterio.enums import ColorInterp, Resampling
from rasterio.windows import Window

from sat2map.errors import ImageError, OutputError, SettingsError
from sat2map.files import atomic_path, atomic_write_text, locks, refuse_existing
from sat2map.geo.gdal import FAILURES, gdal_env, reason
from sat2map.geo.georeference import read_grid, reject_container
from sat2map.geo.grid import GeoGrid
from sat2map.geo.samples import find_bands, find_mask, plain_samples, warped, without_alpha
from sat2map.geo.web_mercator import HIGHEST_ZOOM, SIDE, Coverage, Part, find_coverage
from sat2map.images.masks import PixelMask

MAX_TILES = 50_000_000  # of a zoom level; more are a mistake
_MARKER = "tiles.json"  # TileJSON; tells a folder of ours
_TMS = morecantile.tms.get("WebMercatorQuad")

Tile = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Put = Callable[[int, int, int, bytes], None]


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
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TilesResult:
    """Cut a raster into XYZ tiles of 256 px, PNG with transparency; empty tiles are left out.

    Args:
        raster: An 8-bit raster with a CRS.
        output: .mbtiles, .pmtiles, or a folder, which gets {z}/{x}/{y}.png and a tiles.json.
        zooms: Lowest and highest zoom level; None: from one tile to the raster's own resolution.
        crs: The raster's CRS, where the file names none or a wrong one.
        overwrite: Whether what is there may be replaced.
        progress: Called with tiles done and tiles in all.

    Raises:
        ImageError: The raster cannot be read, or lies nowhere.
        SettingsError: The zoom levels are out of range.
        OutputError: The output exists, or cannot be written.
    """
    kind = output.suffix.lower()
    refuse_existing(output, overwrite=overwrite)
    if kind not in (".mbtiles", ".pmtiles") and output.is_dir() and not (output / _MARKER).is_file():
        raise OutputError(
            f"{output} is a folder that sat2map did not write", hint="choose another name", setting="output"
        )
    with gdal_env(), _open(raster) as dataset:
        grid = read_grid(dataset, str(raster), [], crs=crs)
        coverage = find_coverage(grid, str(raster))
        zooms = zooms or coverage.zooms()
        _check_zooms(zooms, coverage)
        about = _about(raster, coverage, zooms)
        with _sink(output, kind, about) as put:
            count = _cut(dataset, raster.name, grid, coverage, zooms, put, progress)
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
        blend = dataset.colorinterp[0] != ColorInterp.palette
        resampling = Resampling.bilinear if blend else Resampling.nearest
        readers = [
            _TileReader(stack, plain, bands, mask, grid, part, zooms[1], resampling)
            for part in coverage.parts
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
                    [[make(zoom + 1, 2 * x + i, 2 * y + j) for i in (0, 1)] for j in (0, 1)], blend=blend
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
    """Return one tile of four: of each two by two pixels, the mean or the first of those that are valid."""
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
    valid = masks > 0
    if blend:
        sums = (fours.astype(np.uint16) * valid).sum(axis=-1, dtype=np.uint16)
        counts = np.maximum(valid.sum(axis=-1, dtype=np.uint16), 1)
        reduced = ((sums + counts // 2) // counts).astype(np.uint8)
    else:
        first = valid.argmax(axis=-1)[None, ..., None]
        reduced = np.take_along_axis(fours, first, axis=-1)[..., 0]
    return reduced, masks.max(axis=-1)


class _TileReader:
    """Reads the tiles of one zoom level from one part of a raster."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        dataset: rasterio.DatasetReader,
        bands: tuple[int, ...],
        mask: PixelMask,
        grid: GeoGrid,
        part: Part,
        zoom: int,
        resampling: Resampling,
    ) -> None:
        self.columns, self._rows, self._bands = part.columns(zoom), part.rows(zoom), bands
        corner = _TMS.xy_bounds(morecantile.Tile(self.columns.start, self._rows.start, zoom))
        pixel = (corner.right - corner.left) / SIDE
        vrt, self._mask = warped(
            dataset,
            mask,
            src_crs=grid.crs,
            src_transform=Affine.translation(part.shift, 0) @ grid.transform,
            crs="EPSG:3857",
            transform=Affine(pixel, 0, corner.left, 0, -pixel, corner.top),
            width=len(self.columns) * SIDE,
            height=len(self._rows) * SIDE,
            resampling=resampling,
        )
        self._vrt = stack.enter_context(vrt)

    def read(self, x: int, y: int) -> Tile:
        """Return a tile's pixels, uint8 (bands, 256, 256), and mask, uint8 (256, 256)."""
        window = Window((x - self.columns.start) * SIDE, (y - self._rows.start) * SIDE, SIDE, SIDE)
        values = self._vrt.read(self._bands, window=window)
        return values, self._mask.read(self._vrt, values, window=window)


def _overlaid(tiles: list[Tile]) -> Tile:
    """Return one tile of those of the two sides of 180 degrees."""
    values, mask = tiles[0]
    for others, valid in tiles[1:]:
        values, mask = np.where(mask > 0, values, others), np.maximum(mask, valid)
    return values, mask


def _png(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> bytes:
    whole = bool((mask == 255).all())
    image = np.moveaxis(pixels if whole else np.concatenate([pixels, mask[None]]), 0, -1)
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(content, "PNG", compress_level=6)
    return content.getvalue()


def _about(raster: Path, coverage: Coverage, zooms: tuple[int, int]) -> dict[str, Any]:
    return {
        "name": raster.stem,
        "bounds": list(coverage.bounds),
        "center": [*coverage.centre, zooms[0]],
        "minzoom": zooms[0],
        "maxzoom": zooms[1],
    }


@contextlib.contextmanager
def _sink(output: Path, kind: str, about: dict[str, Any]) -> Iterator[Put]:
    """Yield a function that takes tiles; what they become appears under its name when all are there."""
    if kind == ".mbtiles":
        with atomic_path(output) as temporary, _mbtiles(temporary, about) as put:
            yield put
    elif kind == ".pmtiles":
        with atomic_path(output) as temporary:
            box = temporary.with_suffix(".mbtiles")
            try:
                with _mbtiles(box, about) as put:
                    yield put
                mbtiles_to_pmtiles(box, temporary, None)  # type: ignore[no-untyped-call]
            finally:
                box.unlink(missing_ok=True)
    else:
        with _folder(output, about) as put:
            yield put


@contextlib.contextmanager
def _mbtiles(path: Path, about: dict[str, Any]) -> Iterator[Put]:
    """Write a database as the MBTiles specification 1.3 says; its rows count from the south."""
    words = {
        name: ",".join(f"{v:.9g}" for v in value) if isinstance(value, list) else str(value)
        for name, value in about.items()
    }
    try:
        with contextlib.closing(sqlite3.connect(path)) as box, box:
            box.execute("CREATE TABLE metadata (name text, value text)")
            box.execute(
                "CREATE TABLE tiles "
                "(zoom_level integer, tile_column integer, tile_row integer, tile_data blob)"
            )
            box.execute("CREATE UNIQUE INDEX tile_index on tiles (zoom_level, tile_column, tile_row)")
            rows = {**words, "format": "png", "type": "overlay", "version": "1"}
            box.executemany("INSERT INTO metadata VALUES (?, ?)", rows.items())

            def put(zoom: int, x: int, y: int, content: bytes) -> None:
                box.execute("INSERT INTO tiles VALUES (?, ?, ?, ?)", (zoom, x, 2**zoom - 1 - y, content))

            yield put
    except sqlite3.Error as error:
        raise OutputError(
            f"the tiles cannot be written ({error}): free some space, or choose another place"
        ) from None


@contextlib.contextmanager
def _folder(output: Path, about: dict[str, Any]) -> Iterator[Put]:
    unfinished = output.with_name(f".{output.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)

    def put(zoom: int, x: int, y: int, content: bytes) -> None:
        path = unfinished / str(zoom) / str(x) / f"{y}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    try:
        yield put
        tilejson = {"tilejson": "3.0.0", "tiles": ["{z}/{x}/{y}.png"], **about}
        atomic_write_text(unfinished / _MARKER, json.dumps(tilejson, indent=2) + "\n")
        if output.exists():
            shutil.rmtree(output)
        unfinished.rename(output)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
