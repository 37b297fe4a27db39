"""The live map: tiles of a raster and its map, computed when they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from sat2map.geo.layers import NODATA
from sat2map.geo.qgis_styles import ramp_colours
from sat2map.geo.tile_pixels import halved
from sat2map.geo.web_mercator import SIDE
from sat2map.images.png import encode_png
from sat2map.inference.blending import blended_blocks
from sat2map.inference.drawing import Drawer, Products
from sat2map.inference.tiling import Area, Grid, Span
from sat2map.serve.http_errors import NotFoundError
from sat2map.serve.map_layers import MapLayer
from sat2map.serve.prometheus import Metrics
from sat2map.serve.raster_folder import Piece, RasterFile
from sat2map.serve.scene import Scene
from sat2map.serve.shared_work import SharedWork
from sat2map.serve.vector_tiles import encode_vector_tile

Rgba = NDArray[np.uint8]
Outputs = NDArray[np.float16]
_RAMP: Final = ramp_colours()


class LiveMaps:
    """Computes and keeps pieces of maps.

    The network runs on the raster's own grid, in the tiles of `translate`; its outputs are blended, warped to
    web mercator and then drawn. So a live map is the map that `translate` writes.
    """

    def __init__(self, cache_bytes: int, metrics: Metrics) -> None:
        self._work = SharedWork(cache_bytes, metrics)
        self._reading = anyio.CapacityLimiter(4)

    async def tile(self, layer: MapLayer, zoom: int, x: int, y: int) -> bytes:
        """Return a tile of a layer as PNG, transparent where the raster has nothing.

        Raises:
            NotFoundError: There are no tiles at this zoom.
            BusyError: The network has too much to do.
            ImageError: The raster cannot be read.
        """
        _check_zoom(layer, zoom)

        async def draw() -> bytes:
            if not _meet(_area(x, y), layer.raster.pixels(zoom)):
                return _EMPTY
            return await anyio.to_thread.run_sync(encode_png, await self.pixels(layer, zoom, x, y))

        return await self._work.once(_key("tile", layer, zoom, x, y), draw)  # type: ignore[no-any-return]

    async def vector_tile(self, layer: MapLayer, zoom: int, x: int, y: int) -> bytes:
        """Return the polygons of a tile's classes as a vector tile; empty where the raster has nothing.

        The zoom is at most that of the model: clients enlarge what they get there. Raises what `tile` does.
        """
        _check_zoom(layer, zoom)
        palette = layer.palette
        if layer.kind != "classes" or palette is None or zoom > layer.zoom:
            raise NotFoundError(f"vector tiles of a raster's classes end at zoom {layer.zoom}")

        async def outline() -> bytes:
            if not _meet(_area(x, y), layer.raster.pixels(zoom)):
                return b""
            classes = await self._drawn(layer, zoom, x, y)
            return await anyio.to_thread.run_sync(encode_vector_tile, classes, palette, zoom, x, y)

        return await self._work.once(_key("vector", layer, zoom, x, y), outline)  # type: ignore[no-any-return]

    async def pixels(self, layer: MapLayer, zoom: int, x: int, y: int) -> Rgba:
        """Return a tile of a layer, uint8 (256, 256, 4); raises what `tile` does."""
        if layer.kind == "imagery":
            return np.dstack(await self._read(layer.raster, zoom, _area(x, y)))
        drawn = await self._drawn(layer, zoom, x, y)
        if layer.kind != "classes":
            return drawn
        assert layer.palette is not None
        rgb = layer.palette.colourise(np.where(drawn == NODATA, 0, drawn))
        alpha = (drawn != NODATA).astype(np.uint8) * 255
        return np.dstack([rgb * (alpha > 0)[..., None], alpha])

    async def _drawn(self, layer: MapLayer, zoom: int, x: int, y: int) -> NDArray[np.uint8]:
        """Return a tile drawn from the network's outputs, or from the four tiles below it.

        It is uint8 (256, 256, 4), or of class numbers (256, 256).
        """
        draw = self._draw_overview if zoom < layer.zoom else self._draw_outputs
        key = _key("pixels", layer, zoom, x, y)
        return await self._work.once(key, partial(draw, layer, zoom, x, y))  # type: ignore[no-any-return]

    async def _draw_overview(self, layer: MapLayer, zoom: int, x: int, y: int) -> NDArray[np.uint8]:
        whole = np.tile(_nothing(layer), (2, 2) if layer.kind == "classes" else (2, 2, 1))
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            if _meet(_area(2 * x + column, 2 * y + row), layer.raster.pixels(zoom + 1)):
                here = np.s_[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
                whole[here] = await self._drawn(layer, zoom + 1, 2 * x + column, 2 * y + row)
        if layer.kind == "classes":
            return whole[::2, ::2]
        colours, alpha = halved(np.moveaxis(whole[..., :3], -1, 0), whole[..., 3])
        return np.dstack([*colours, alpha])

    async def _draw_outputs(self, layer: MapLayer, zoom: int, x: int, y: int) -> NDArray[np.uint8]:
        scene = await self._scene(layer)
        translator = layer.model.background_translator
        needed = await anyio.to_thread.run_sync(scene.needed_for, zoom, x, y)
        if needed is None:
            return _nothing(layer)
        size = (scene.grid.height, scene.grid.width)
        places = [
            (rows, columns)
            for rows in translator.grid.within(needed.top, needed.bottom, size[0])
            for columns in translator.grid.within(needed.left, needed.right, size[1])
        ]
        outputs = await asyncio.gather(*(self._outputs(layer, scene, *place) for place in places))
        found = dict(zip(places, outputs, strict=True))
        piece = await self._read(layer.raster, zoom, _area(x, y))

        def draw() -> NDArray[np.uint8]:
            logits = _blend(translator.grid, size, found, needed)
            if logits is None or not piece.mask.any():
                return _nothing(layer)
            return _draw(layer, translator.drawer, scene.warp(logits, needed, zoom, x, y), piece.mask)

        return await anyio.to_thread.run_sync(draw)

    async def _outputs(self, layer: MapLayer, scene: Scene, rows: Span, columns: Span) -> Outputs | None:
        """Return the network's outputs for one of its tiles, or None where the raster has nothing."""

        async def compute() -> Outputs | None:
            tile = await anyio.to_thread.run_sync(scene.cut, rows, columns, limiter=self._reading)
            if tile is None:
                return None
            # Half precision halves what is kept: 0.06 of a grey level, or 0.01 of a logit.
            return (await layer.model.run_tile(tile)).astype(np.float16)

        key = ("outputs", *_of_model(layer), rows.start, columns.start)
        return await self._work.once(key, compute)  # type: ignore[no-any-return]

    async def _scene(self, layer: MapLayer) -> Scene:
        async def open_scene() -> Scene:
            return await anyio.to_thread.run_sync(
                Scene.of, layer.raster, layer.model.header, limiter=self._reading
            )

        return await self._work.once(("scene", *_of_model(layer)), open_scene)  # type: ignore[no-any-return]

    async def _read(self, raster: RasterFile, zoom: int, area: Area) -> Piece:
        return await anyio.to_thread.run_sync(raster.read, zoom, area, limiter=self._reading)


def _blend(
    grid: Grid, size: tuple[int, int], found: dict[tuple[Span, Span], Outputs | None], area: Area
) -> NDArray[np.float32] | None:
    """Blend the outputs of tiles over an area, as `translate` does; None where there are none."""
    total: NDArray[np.float32] | None = None

    def cut(rows: Span, columns: Span) -> NDArray[np.float32] | None:
        outputs = found[rows, columns]
        return None if outputs is None else outputs.astype(np.float32)

    for block in blended_blocks(grid, size, cut, lambda x: x, area):
        here, values = block.area, block.values
        if values is None:
            continue
        if total is None:
            total = np.zeros((len(values), area.height, area.width), np.float32)
        top, left = here.top - area.top, here.left - area.left
        total[:, top : top + here.height, left : left + here.width] = values
    return total


def _draw(layer: MapLayer, drawer: Drawer, logits: NDArray[np.float32], mask: NDArray[np.uint8]) -> Rgba:
    """Draw what a layer shows of a network's outputs, nothing where the mask is 0."""
    products = Products(confidence=layer.kind == "confidence")
    if layer.kind == "classes" and drawer.is_palette_network:
        products = Products(classes=True)
    drawn = drawer.draw(logits, products)
    rgb = np.moveaxis(np.broadcast_to(drawn.image[:3], (3, SIDE, SIDE)), 0, -1)
    if layer.kind == "classes":  # a network that draws the image itself: its classes are those of its colours
        assert drawer.palette is not None
        classes = drawer.palette.classify(rgb) if drawn.classes is None else drawn.classes
        return np.where(mask > 0, classes, NODATA).astype(np.uint8)
    if drawn.confidence is not None:
        rgb = _RAMP[drawn.confidence]
    return np.dstack([np.where(mask[..., None] > 0, rgb, 0), mask]).astype(np.uint8)


def _check_zoom(layer: MapLayer, zoom: int) -> None:
    if zoom < layer.min_zoom:
        raise NotFoundError(f"the map of this raster begins at zoom {layer.min_zoom}: zoom in")


def _nothing(layer: MapLayer) -> NDArray[np.uint8]:
    if layer.kind == "classes":
        return np.full((SIDE, SIDE), NODATA, np.uint8)
    return np.zeros((SIDE, SIDE, 4), np.uint8)


def _key(what: str, layer: MapLayer, *place: int) -> Hashable:
    return (what, layer.kind, *layer.identity, *place)


def _of_model(layer: MapLayer) -> tuple[str, str]:
    """What the network's outputs depend on: not on the colours, nor on what is drawn of them."""
    return layer.raster.identity, layer.model.sha256


def _area(x: int, y: int) -> Area:
    return Area(y * SIDE, x * SIDE, (y + 1) * SIDE, (x + 1) * SIDE)


def _meet(one: Area, other: Area) -> bool:
    rows = min(one.bottom, other.bottom) > max(one.top, other.top)
    return rows and min(one.right, other.right) > max(one.left, other.left)


_EMPTY = encode_png(np.zeros((SIDE, SIDE, 4), np.uint8))
