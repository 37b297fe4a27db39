"""The live map: tiles of a raster's map, computed when they are asked for."""

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

from sat2map.images.png import encode_png
from sat2map.inference.drawing import average_pixels
from sat2map.inference.tiling import Area, Grid, Span, blended_blocks
from sat2map.serve.http_errors import NotFoundError
from sat2map.serve.prometheus import Metrics
from sat2map.serve.raster_folder import TILE, Piece, RasterFile
from sat2map.serve.scene import Scene
from sat2map.serve.served_models import ServedModel

OVERVIEWS = 3  # zooms below the model's own that are averaged from it; each takes four times the work
_VERSION = 2  # of what a tile looks like; raise it when that changes, as clients keep tiles

Rgba = NDArray[np.uint8]
Outputs = NDArray[np.float16]


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
        """Where a pixel is about as large on the ground as the model's; lower zooms are averaged from it."""
        return self.raster.zoom_for(self.model.header.gsd)

    @property
    def min_zoom(self) -> int:
        """The lowest zoom that has tiles."""
        return max(0, self.zoom - OVERVIEWS)

    @property
    def identity(self) -> tuple[str, str, str]:
        """What a tile depends on, beside its place: the raster, the model, the colours."""
        palette = self.model.background_translator.drawer.palette
        return self.raster.identity, self.model.sha256, palette.to_json() if palette else ""

    def etag(self, *which: object) -> str:
        """Return a validator for a tile, which is known before the tile is."""
        parts = (_VERSION, *self.identity, *which)
        return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"'


class LiveMaps:
    """Computes and keeps pieces of maps.

    The network runs on the raster's own grid, in the tiles of `translate`; its outputs are blended, warped to
    web mercator and then drawn. So a live map is the map that `translate` writes.
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
        key = ("tile", *layer.identity, zoom, x, y)
        return await self._once(key, partial(self._draw, layer, zoom, x, y))  # type: ignore[no-any-return]

    async def imagery(self, raster: RasterFile, zoom: int, x: int, y: int) -> bytes:
        """Return a tile of the raster itself as PNG.

        Raises:
            ImageError: The raster cannot be read.
        """
        key = ("imagery", raster.identity, zoom, x, y)

        async def draw() -> bytes:
            area = _area(x, y)
            if not _meet(area, raster.pixels(zoom)):
                return _EMPTY
            piece = await self._read(raster, zoom, area)
            return await anyio.to_thread.run_sync(encode_png, np.dstack(piece))

        return await self._once(key, draw)  # type: ignore[no-any-return]

    async def _draw(self, layer: Layer, zoom: int, x: int, y: int) -> bytes:
        if not _meet(_area(x, y), layer.raster.pixels(zoom)):
            return _EMPTY
        pixels = await self._pixels(layer, zoom, x, y)
        return await anyio.to_thread.run_sync(encode_png, pixels)

    async def _pixels(self, layer: Layer, zoom: int, x: int, y: int) -> Rgba:
        """Return a tile: drawn from the network's outputs, or the mean of the four tiles above it."""
        key = ("pixels", *layer.identity, zoom, x, y)
        draw = self._draw_overview if zoom < layer.zoom else self._draw_outputs
        return await self._once(key, partial(draw, layer, zoom, x, y))  # type: ignore[no-any-return]

    async def _draw_overview(self, layer: Layer, zoom: int, x: int, y: int) -> Rgba:
        whole = np.zeros((2 * TILE, 2 * TILE, 4), np.uint8)
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            if _meet(_area(2 * x + column, 2 * y + row), layer.raster.pixels(zoom + 1)):
                here = np.s_[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
                whole[here] = await self._pixels(layer, zoom + 1, 2 * x + column, 2 * y + row)
        return average_pixels(whole, 2)

    async def _draw_outputs(self, layer: Layer, zoom: int, x: int, y: int) -> Rgba:
        scene = await self._scene(layer)
        translator = layer.model.background_translator
        needed = await anyio.to_thread.run_sync(scene.needed_for, zoom, x, y)
        if needed is None:
            return np.zeros((TILE, TILE, 4), np.uint8)
        size = (scene.grid.height, scene.grid.width)
        places = [
            (rows, columns)
            for rows in translator.grid.within(needed.top, needed.bottom, size[0])
            for columns in translator.grid.within(needed.left, needed.right, size[1])
        ]
        outputs = await asyncio.gather(*(self._outputs(layer, scene, *place) for place in places))
        found = dict(zip(places, outputs, strict=True))
        piece = await self._read(layer.raster, zoom, _area(x, y))

        def draw() -> Rgba:
            logits = _blend(translator.grid, size, found, needed)
            if logits is None or not piece.mask.any():
                return np.zeros((TILE, TILE, 4), np.uint8)
            image = translator.drawer.draw(scene.warp(logits, needed, zoom, x, y)).image
            rgb = np.moveaxis(np.broadcast_to(image[:3], (3, TILE, TILE)), 0, -1)
            return np.dstack([np.where(piece.mask[..., None] > 0, rgb, 0), piece.mask]).astype(np.uint8)

        return await anyio.to_thread.run_sync(draw)

    async def _outputs(self, layer: Layer, scene: Scene, rows: Span, columns: Span) -> Outputs | None:
        """Return the network's outputs for one of its tiles, or None where the raster has nothing."""

        async def compute() -> Outputs | None:
            tile = await anyio.to_thread.run_sync(scene.cut, rows, columns, limiter=self._reading)
            if tile is None:
                return None
            # Half precision halves what is kept: 0.06 of a grey level, or 0.01 of a logit.
            return (await layer.model.run_tile(tile)).astype(np.float16)

        key = ("outputs", *layer.identity, rows.start, columns.start)
        return await self._once(key, compute)  # type: ignore[no-any-return]

    async def _scene(self, layer: Layer) -> Scene:
        async def open_scene() -> Scene:
            return await anyio.to_thread.run_sync(
                Scene.of, layer.raster, layer.model.header, limiter=self._reading
            )

        return await self._once(("scene", *layer.identity), open_scene)  # type: ignore[no-any-return]

    async def _read(self, raster: RasterFile, zoom: int, area: Area) -> Piece:
        return await anyio.to_thread.run_sync(raster.read, zoom, area, limiter=self._reading)

    async def _once(self, key: Hashable, compute: Callable[[], Awaitable[Any]]) -> Any:
        """Return what is cached, wait for what is computed already, or compute it.

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


def _blend(
    grid: Grid, size: tuple[int, int], found: dict[tuple[Span, Span], Outputs | None], area: Area
) -> NDArray[np.float32] | None:
    """Blend the outputs of tiles over an area, as `translate` does; None where there are none."""
    total: NDArray[np.float32] | None = None

    def cut(rows: Span, columns: Span) -> NDArray[np.float32] | None:
        outputs = found[rows, columns]
        return None if outputs is None else outputs.astype(np.float32)

    for here, _, values in blended_blocks(grid, size, cut, lambda x: x, area):
        if values is None:
            continue
        if total is None:
            total = np.zeros((len(values), area.height, area.width), np.float32)
        top, left = here.top - area.top, here.left - area.left
        total[:, top : top + here.height, left : left + here.width] = values
    return total


def _area(x: int, y: int) -> Area:
    return Area(y * TILE, x * TILE, (y + 1) * TILE, (x + 1) * TILE)


def _meet(one: Area, other: Area) -> bool:
    rows = min(one.bottom, other.bottom) > max(one.top, other.top)
    return rows and min(one.right, other.right) > max(one.left, other.left)


def _size(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    return len(value) if isinstance(value, bytes) else 64


_EMPTY = encode_png(np.zeros((TILE, TILE, 4), np.uint8))
