"""Owns the live map: tiles of a raster's map, computed when they are asked for, that meet without seams."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from PIL import Image

from sat2map.errors import ImageError
from sat2map.images.png import encode_png
from sat2map.inference.tiling import Area, ramp
from sat2map.serve.http_errors import NotFoundError
from sat2map.serve.prometheus import Metrics
from sat2map.serve.raster_folder import TILE, Piece, RasterFile, fill
from sat2map.serve.served_models import ServedModel

OVERVIEWS = 3  # zooms below the model's own that are averaged from it; each takes four times the work
_MARGIN = 2  # px around a part that is enlarged, which its neighbours then share
_VERSION = 1  # of what a tile looks like; raise it when that changes, as clients keep tiles

Rgba = NDArray[np.uint8]


@dataclass(frozen=True)
class Layer:
    """The map that a model makes of a raster.

    Attributes:
        raster: The raster.
        model: The model.
    """

    raster: RasterFile
    model: ServedModel

    @property
    def zoom(self) -> int:
        """Where a pixel is as large on the ground as in the model's training; the network sees no other."""
        return self.raster.zoom_for(self.model.header.gsd)

    @property
    def min_zoom(self) -> int:
        """The lowest zoom that has tiles."""
        return max(0, self.zoom - OVERVIEWS)

    def etag(self, *which: object) -> str:
        """Return a validator for a tile, which is known before the tile is."""
        parts = (_VERSION, self.raster.identity, self.model.sha256, *which)
        return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"'


class LiveMaps:
    """Computes and keeps pieces of maps.

    The network's tiles lie on one grid over the world's pixels at the layer's zoom, overlap, and are blended
    as those of a large image are: what a pixel becomes does not depend on the tile that it is asked for with.
    """

    def __init__(self, cache_bytes: int, metrics: Metrics) -> None:
        self._cache: LRUCache[Hashable, Any] = LRUCache(cache_bytes, getsizeof=_size)
        self._running: dict[Hashable, tuple[asyncio.Task[Any], list[None]]] = {}
        self._reading = anyio.CapacityLimiter(4)
        self._metrics = metrics

    @property
    def cached_bytes(self) -> float:
        """What the cache holds."""
        return float(self._cache.currsize)

    async def tile(self, layer: Layer, zoom: int, x: int, y: int) -> bytes:
        """Return a tile of the map as PNG, transparent where the raster has nothing.

        Raises:
            NotFoundError: There are no tiles at this zoom.
            BusyError: The network has too much to do.
            ImageError: The raster cannot be read.
        """
        if zoom < layer.min_zoom:
            raise NotFoundError(f"the map of this raster begins at zoom {layer.min_zoom}: zoom in")
        key = ("tile", layer.raster.identity, layer.model.sha256, zoom, x, y)
        return await self._once(key, partial(self._draw, layer, zoom, x, y))  # type: ignore[no-any-return]

    async def imagery(self, raster: RasterFile, zoom: int, x: int, y: int) -> bytes:
        """Return a tile of the raster itself as PNG.

        Raises:
            ImageError: The raster cannot be read.
        """
        key = ("imagery", raster.identity, zoom, x, y)

        async def draw() -> bytes:
            area = Area(y * TILE, x * TILE, (y + 1) * TILE, (x + 1) * TILE)
            if not _meet(area, raster.pixels(zoom)):
                return _EMPTY
            piece = await self._read(raster, zoom, area)
            return await anyio.to_thread.run_sync(encode_png, np.dstack(piece))

        return await self._once(key, draw)  # type: ignore[no-any-return]

    async def _draw(self, layer: Layer, zoom: int, x: int, y: int) -> bytes:
        area = Area(y * TILE, x * TILE, (y + 1) * TILE, (x + 1) * TILE)
        if not _meet(area, layer.raster.pixels(zoom)):
            return _EMPTY
        if zoom > layer.zoom:
            pixels = await self._enlarged(layer, zoom - layer.zoom, area)
        else:
            pixels = await self._reduced(layer, layer.zoom - zoom, x, y)
        return await anyio.to_thread.run_sync(encode_png, pixels)

    async def _enlarged(self, layer: Layer, steps: int, area: Area) -> Rgba:
        """Return a tile of a zoom above the layer's, from the few pixels below it."""
        factor = 1 << steps
        part = Area(
            area.top // factor - _MARGIN,
            area.left // factor - _MARGIN,
            -(-area.bottom // factor) + _MARGIN,
            -(-area.right // factor) + _MARGIN,
        )
        pixels = await self._map(layer, part)
        top, left = (area.top / factor - part.top), (area.left / factor - part.left)
        side = TILE / factor
        image = Image.fromarray(pixels).resize(
            (TILE, TILE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
        )
        return np.asarray(image)

    async def _reduced(self, layer: Layer, steps: int, x: int, y: int) -> Rgba:
        """Return a tile of the layer's zoom, or of one below it: then the mean of those that it covers."""
        factor = 1 << steps
        out = np.zeros((TILE, TILE, 4), np.uint8)
        small = TILE // factor
        ground = layer.raster.pixels(layer.zoom)
        for row in range(factor):
            for column in range(factor):
                top, left = (y * factor + row) * TILE, (x * factor + column) * TILE
                area = Area(top, left, top + TILE, left + TILE)
                if _meet(area, ground):
                    pixels = await self._map(layer, area)
                    here = (
                        slice(row * small, (row + 1) * small),
                        slice(column * small, (column + 1) * small),
                    )
                    out[here] = _mean(pixels, factor)
        return out

    async def _map(self, layer: Layer, area: Area) -> Rgba:
        """Return any rectangle of the map at the layer's zoom, blended from the network's tiles."""
        grid = layer.model.patient.grid
        ground = layer.raster.pixels(layer.zoom)
        rows = range((area.top - grid.tile) // grid.stride + 1, (area.bottom - 1) // grid.stride + 1)
        columns = range((area.left - grid.tile) // grid.stride + 1, (area.right - 1) // grid.stride + 1)
        places = [(row, column) for row in rows for column in columns]
        tiles = [
            Area(r * grid.stride, c * grid.stride, r * grid.stride + grid.tile, c * grid.stride + grid.tile)
            for r, c in places
        ]
        tiles = [tile for tile in tiles if _meet(tile, ground)]
        pieces = await asyncio.gather(*(self._piece(layer, tile) for tile in tiles))
        return await anyio.to_thread.run_sync(_blend, area, tiles, pieces, ramp(grid.tile, grid.stride))

    async def _piece(self, layer: Layer, area: Area) -> Piece | None:
        """Return one of the network's tiles, or None where the raster has nothing."""

        async def compute() -> Piece | None:
            piece = await self._read(layer.raster, layer.zoom, area)
            if not piece.mask.any():
                return None
            source = await anyio.to_thread.run_sync(fill, piece)
            bands = layer.model.header.generator.source_bands
            if bands not in (1, 3):
                raise ImageError(f"the model {layer.model.name} takes {bands} bands: a live map has three")
            fake, _ = await layer.model.translate(source[..., :bands])
            return Piece(np.repeat(fake, 3, axis=2) if fake.shape[2] == 1 else fake[..., :3], piece.mask)

        key = ("piece", layer.raster.identity, layer.model.sha256, area)
        return await self._once(key, compute)  # type: ignore[no-any-return]

    async def _read(self, raster: RasterFile, zoom: int, area: Area) -> Piece:
        return await anyio.to_thread.run_sync(raster.read, zoom, area, limiter=self._reading)

    async def _once(self, key: Hashable, compute: Callable[[], Awaitable[Any]]) -> Any:
        """Return what is cached, wait for what somebody else computes already, or compute it.

        Work that the last who waited for it has left is cancelled: who pans a map leaves a lot of it.
        """
        kind = key[0] if isinstance(key, tuple) else ""
        if key in self._cache:
            self._metrics.tiles.labels(kind, "hit").inc()
            return self._cache[key]
        if key not in self._running:
            self._metrics.tiles.labels(kind, "miss").inc()
            self._running[key] = asyncio.ensure_future(self._keep(key, compute)), []
        task, waiting = self._running[key]
        waiting.append(None)
        try:
            return await asyncio.shield(task)
        finally:
            waiting.pop()
            if not waiting and not task.done():
                self._running.pop(key, None)
                task.cancel()

    async def _keep(self, key: Hashable, compute: Callable[[], Awaitable[Any]]) -> Any:
        task = asyncio.current_task()
        try:
            value = await compute()
        finally:
            if key in self._running and self._running[key][0] is task:
                del self._running[key]
        if _size(value) <= self._cache.maxsize:
            self._cache[key] = value
        return value


def _blend(area: Area, tiles: list[Area], pieces: list[Piece | None], weights: NDArray[np.float32]) -> Rgba:
    total = np.zeros((area.height, area.width, 3), np.float32)
    weight = np.zeros((area.height, area.width, 1), np.float32)
    mask = np.zeros((area.height, area.width), np.uint8)
    window = np.outer(weights, weights)[..., None]
    for tile, piece in zip(tiles, pieces, strict=True):
        if piece is None:
            continue
        top, bottom = max(area.top, tile.top), min(area.bottom, tile.bottom)
        left, right = max(area.left, tile.left), min(area.right, tile.right)
        inside = (slice(top - tile.top, bottom - tile.top), slice(left - tile.left, right - tile.left))
        here = (slice(top - area.top, bottom - area.top), slice(left - area.left, right - area.left))
        total[here] += piece.pixels[inside] * window[inside]
        weight[here] += window[inside]
        mask[here] = np.maximum(mask[here], piece.mask[inside])
    # Where a tile is left out, since the raster has nothing there, the others' weights add up to less than 1.
    levels = np.rint(total / np.maximum(weight, 1e-6)).clip(0, 255)
    return np.dstack([levels.astype(np.uint8), mask])


def _mean(pixels: Rgba, factor: int) -> Rgba:
    """Average blocks of pixels; one that is transparent has no colour to give."""
    if factor == 1:
        return pixels
    side = pixels.shape[0] // factor
    blocks = pixels.reshape(side, factor, side, factor, 4).astype(np.float32)
    alpha = blocks[..., 3:]
    colours = (blocks[..., :3] * alpha).sum(axis=(1, 3)) / np.maximum(alpha.sum(axis=(1, 3)), 1)
    mean: Rgba = np.rint(np.dstack([colours, alpha.mean(axis=(1, 3))])).astype(np.uint8)
    return mean


def _meet(one: Area, other: Area) -> bool:
    rows = min(one.bottom, other.bottom) > max(one.top, other.top)
    return rows and min(one.right, other.right) > max(one.left, other.left)


def _size(value: Any) -> int:
    if isinstance(value, Piece):
        return value.pixels.nbytes + value.mask.nbytes
    return len(value) if isinstance(value, bytes) else 64


_EMPTY = encode_png(np.zeros((TILE, TILE, 4), np.uint8))
