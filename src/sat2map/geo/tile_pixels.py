"""The pixels of web-map tiles: warped once at the highest zoom level, and halved for each level above."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from sat2map.geo.grid import GeoGrid
from sat2map.geo.samples import warped
from sat2map.geo.web_mercator import SIDE, CoveragePart, pixel_size, tile_corner
from sat2map.images.masks import PixelMask
from sat2map.images.png import encode_png

Tile = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Pixels, uint8 (bands, side, side), and mask, uint8 (side, side)."""

MERCATOR = "EPSG:3857"
EDGE_POINTS = 9  # along each edge of a tile, which is a curve in the raster's CRS
EDGE = 3  # px of the raster that resampling may look at beyond a tile


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


class TileReader:
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
        """Put a raster and its bands, from 1, onto the tiles' grid; `stack` closes what is opened."""
        self._paint, self._side, self._zoom = paint, SIDE * paint.finer, zoom
        self.columns, self._rows = part.columns(zoom), part.rows(zoom)
        left, top = tile_corner(zoom, self.columns.start, self._rows.start)
        pixel = pixel_size(zoom) / paint.finer
        target: dict[str, Any] = {
            "src_crs": grid.crs,
            "src_transform": Affine.translation(part.shift, 0) @ grid.transform,
            "crs": MERCATOR,
            "transform": Affine(pixel, 0, left, 0, -pixel, top),
            "width": len(self.columns) * self._side,
            "height": len(self._rows) * self._side,
            "resampling": Resampling.nearest if paint.is_plain else Resampling.bilinear,
        }
        vrt, self._mask = warped(dataset, mask, **target)
        assert self._mask.alpha is not None
        self._bands, self._alpha = bands, self._mask.alpha
        self._vrt = stack.enter_context(vrt)
        # GDAL takes half as long again for the alpha, which says nothing where no pixel can be missing.
        self._inside: WarpedVRT | None = None
        if mask.kind == "none":
            self._inside = stack.enter_context(WarpedVRT(dataset, **target))
        assert grid.proj_crs is not None
        self._to_crs = pyproj.Transformer.from_crs(MERCATOR, grid.proj_crs, always_xy=True)
        self._to_pixels = ~target["src_transform"]
        self._size = np.array([grid.width, grid.height])

    def read(self, x: int, y: int) -> Tile:
        """Return a tile."""
        side, paint = self._side, self._paint
        window = Window((x - self.columns.start) * side, (y - self._rows.start) * side, side, side)
        if self._inside is not None and self._has_all_of(x, y):
            values, mask = self._inside.read(self._bands, window=window), np.full((side, side), 255, np.uint8)
        else:  # with the alpha at once: GDAL would warp twice
            read = self._vrt.read((*self._bands, self._alpha), window=window)
            values = read[:-1]
            mask = self._mask.read(self._vrt, values, read[-1], window=window)
        if paint.repaint is not None:
            values = np.moveaxis(paint.repaint(np.ascontiguousarray(np.moveaxis(values, 0, -1))), -1, 0)
        return halved(values, mask) if paint.finer == 2 else (values, mask)

    def _has_all_of(self, x: int, y: int) -> bool:
        """Whether a tile lies within the raster, some pixels away from its edge."""
        left, top = tile_corner(self._zoom, x, y)
        right, bottom = tile_corner(self._zoom, x + 1, y + 1)
        steps = np.linspace(0, 1, EDGE_POINTS)
        xs, ys = left + (right - left) * steps, bottom + (top - bottom) * steps
        edge_xs = np.concatenate([xs, xs, np.full_like(ys, left), np.full_like(ys, right)])
        edge_ys = np.concatenate([np.full_like(xs, bottom), np.full_like(xs, top), ys, ys])
        pixels = np.stack(self._to_pixels @ self._to_crs.transform(edge_xs, edge_ys), axis=1)
        return bool(((pixels >= EDGE) & (pixels <= self._size - EDGE)).all())


def reduced(children: Sequence[Sequence[Tile | None]], *, blend: bool) -> Tile | None:
    """Return one tile of four, or None where none of them has a pixel; see `halved`."""
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
    return halved(values, mask, blend=blend)


def halved(values: NDArray[np.uint8], mask: NDArray[np.uint8], *, blend: bool = True) -> Tile:
    """Return half as many rows and columns: of each two by two pixels the mean of those that are valid.

    The mask becomes their mean, but at least 1 where one of them is valid: the smallest raster stays there.

    Args:
        values: uint8 (bands, 2 h, 2 w).
        mask: uint8 (2 h, 2 w).
        blend: Whether a mean means anything; else the first valid pixel is taken.
    """
    masks = _quarters(mask)
    if blend and mask.min() == 255:
        sums = _added([part.astype(np.uint16) for part in _quarters(values)])
        return ((sums + 2) >> 2).astype(np.uint8), np.full(masks[0].shape, 255, np.uint8)
    weights = _added([part.astype(np.uint32) for part in masks])
    if blend:
        products = [
            part * weight.astype(np.uint32) for part, weight in zip(_quarters(values), masks, strict=True)
        ]
        halves = ((_added(products) + weights // 2) // np.maximum(weights, 1)).astype(np.uint8)
    else:
        halves = np.select([part > 0 for part in masks], _quarters(values), np.uint8(0))
    return halves, np.where(weights > 0, np.maximum((weights + 2) // 4, 1), 0).astype(np.uint8)


def _quarters(values: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the upper left, upper right, lower left and lower right of each two by two pixels."""
    return [values[..., j::2, i::2] for j in (0, 1) for i in (0, 1)]


def _added(parts: list[NDArray[np.unsignedinteger]]) -> NDArray[np.unsignedinteger]:
    first, *others = parts
    for other in others:
        first += other
    return first


def overlaid(tiles: Sequence[Tile]) -> Tile:
    """Return one tile of those of the two sides of 180 degrees."""
    values, mask = tiles[0]
    for others, valid in tiles[1:]:
        values, mask = np.where(mask > 0, values, others), np.maximum(mask, valid)
    return values, mask


def tile_png(tile: Tile) -> bytes:
    """Encode a tile as a PNG, with its mask as alpha where some of it is missing."""
    pixels, mask = tile
    image = pixels if mask.min() == 255 else np.concatenate([pixels, mask[None]])
    return encode_png(np.ascontiguousarray(np.moveaxis(image, 0, -1)))
