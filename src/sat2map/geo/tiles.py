"""Owns web-mercator tiles of a raster: MBTiles, PMTiles, or a folder of PNG files."""

from __future__ import annotations

import contextlib
import io
import json
import math
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
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from sat2map.errors import ImageError, OutputError, SettingsError
from sat2map.files import atomic_path, atomic_write_text
from sat2map.geo.gdal import FAILURES, gdal_env, reason
from sat2map.geo.samples import find_bands, find_mask, plain_samples, warped, without_alpha

SIDE = 256  # px
HIGHEST = 24
_MARKER = "tiles.json"  # TileJSON; tells a folder of ours
_TMS = morecantile.tms.get("WebMercatorQuad")

Bounds = tuple[float, float, float, float]
Put = Callable[[int, int, int, bytes], None]


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
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TilesResult:
    """Cut a raster into XYZ tiles of 256 px, PNG with transparency; empty tiles are left out.

    Args:
        raster: An 8-bit raster with a CRS.
        output: .mbtiles, .pmtiles, or a folder, which gets {z}/{x}/{y}.png and a tiles.json.
        zooms: Lowest and highest zoom level; None: from one tile to the raster's own resolution.
        overwrite: Whether what is there may be replaced.
        progress: Called with tiles done and tiles in all.

    Raises:
        ImageError: The raster cannot be read, or lies nowhere.
        SettingsError: The zoom levels are out of range.
        OutputError: The output exists, or cannot be written.
    """
    kind = output.suffix.lower()
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists: give --output another name, or add --overwrite")
    if kind not in (".mbtiles", ".pmtiles") and output.is_dir() and not (output / _MARKER).is_file():
        raise OutputError(f"{output} is a folder that sat2map did not write: give --output another name")
    with gdal_env(), _open(raster) as dataset:
        bounds: Bounds = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds, densify_pts=21)
        zooms = zooms or _fitting_zooms(dataset, bounds)
        if not 0 <= zooms[0] <= zooms[1] <= HIGHEST:
            raise SettingsError(
                f"--zooms {zooms[0]}-{zooms[1]}: levels go from 0 to {HIGHEST}, the lowest first"
            )
        about = _about(raster, bounds, zooms)
        with _sink(output, kind, about) as put:
            count = _cut(dataset, raster.name, bounds, zooms, put, progress)
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


def _cut(
    dataset: rasterio.DatasetReader,
    name: str,
    bounds: Bounds,
    zooms: tuple[int, int],
    put: Put,
    progress: Callable[[int, int], None],
) -> int:
    levels = {zoom: _range(bounds, zoom) for zoom in range(zooms[0], zooms[1] + 1)}
    total = sum((right - left) * (bottom - top) for left, top, right, bottom in levels.values())
    blend = dataset.colorinterp[0] != ColorInterp.palette
    done = count = 0
    for zoom, (left, top, right, bottom) in levels.items():
        corner = _TMS.xy_bounds(morecantile.Tile(left, top, zoom))
        pixel = (corner.right - corner.left) / SIDE
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(plain_samples(dataset))
            bands = find_bands(plain, None, 3, name, [])
            mask_there = find_mask(plain, bands, name, [])
            vrt, mask_here = warped(
                stack.enter_context(without_alpha(plain, mask_there)),
                mask_there,
                crs="EPSG:3857",
                transform=Affine(pixel, 0, corner.left, 0, -pixel, corner.top),
                width=(right - left) * SIDE,
                height=(bottom - top) * SIDE,
                resampling=Resampling.bilinear if blend else Resampling.nearest,
            )
            stack.enter_context(vrt)
            for y in range(top, bottom):
                for x in range(left, right):
                    window = Window((x - left) * SIDE, (y - top) * SIDE, SIDE, SIDE)
                    progress(done, total)
                    done += 1
                    values = vrt.read(bands, window=window)
                    mask = mask_here.read(vrt, values, window=window)
                    if mask.any():
                        put(zoom, x, y, _png(values, mask))
                        count += 1
    progress(total, total)
    return count


def _range(bounds: Bounds, zoom: int) -> tuple[int, int, int, int]:
    """Return the first column and row of tiles at a level, and those behind the last."""
    first, last = _TMS.tile(bounds[0], bounds[3], zoom), _TMS.tile(bounds[2], bounds[1], zoom)
    return first.x, first.y, last.x + 1, last.y + 1


def _png(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> bytes:
    whole = bool((mask == 255).all())
    image = np.moveaxis(pixels if whole else np.concatenate([pixels, mask[None]]), 0, -1)
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(content, "PNG", compress_level=6)
    return content.getvalue()


def _about(raster: Path, bounds: Bounds, zooms: tuple[int, int]) -> dict[str, Any]:
    centre = [(bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2, zooms[0]]
    return {
        "name": raster.stem,
        "bounds": list(bounds),
        "center": centre,
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
