"""A raster of the service as a model sees it: on the network's grid, which is also that of `translate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

from sat2map.geo.gdal import gdal_env
from sat2map.geo.grid import GeoGrid
from sat2map.geo.raster_job import SAME_PIXELS, Factors, RasterOptions, resampling_factors
from sat2map.geo.read import open_raster
from sat2map.geo.strips import cut_tile
from sat2map.geo.web_mercator import SIDE, pixel_size, tile_corner
from sat2map.images.levels import use_limits
from sat2map.inference.tiling import Area, Span
from sat2map.models.header import ModelHeader
from sat2map.serve.raster_folder import MERCATOR, RasterFile

MARGIN: Final = 3  # px of the network's grid around a tile, for interpolation
TOLERANCE: Final = 0.02  # px by which GDAL may approximate the projection, so that neighbours meet


@dataclass(frozen=True)
class Scene:
    """A raster on the grid of a model's network.

    Attributes:
        raster: The raster.
        grid: The network's grid on the ground.
        factors: How much larger its pixels are than the raster's.
        bands: The bands that the network sees.
        scale: Values of each that become 0 and 255, one after the other; None for 8 bits as they are.
    """

    raster: RasterFile
    grid: GeoGrid
    factors: Factors
    bands: tuple[int, ...]
    scale: tuple[float, ...] | None

    @classmethod
    def of(cls, raster: RasterFile, header: ModelHeader) -> Scene:
        """Decide on the grid as `translate` does.

        Raises:
            ImageError: The raster cannot be read.
        """
        count = header.generator.source_bands
        stretch = use_limits(header.limits)
        with gdal_env(), open_raster(raster.path, bands=None, count=count, stretch=stretch) as opened:
            factors = resampling_factors(opened, header, RasterOptions()).network
            grid = opened.grid if factors == SAME_PIXELS else opened.grid.scaled(*factors)
            scale = None if opened.scale is None else tuple(v for limits in opened.scale for v in limits)
            return cls(raster, grid, factors, opened.bands, scale)

    def cut(self, rows: Span, columns: Span) -> NDArray[np.float32] | None:
        """Return a tile as the network takes it, or None where there is nothing (see `strips.cut_tile`)."""
        area = Area(
            rows.start, columns.start, min(rows.stop, self.grid.height), min(columns.stop, self.grid.width)
        )
        with (
            gdal_env(),
            open_raster(
                self.raster.path, bands=self.bands, count=len(self.bands), scale=self.scale
            ) as opened,
        ):
            if self.factors == SAME_PIXELS:
                return cut_tile(opened.read(area), opened.read_mask(area), rows, columns)
            with opened.resampled(*self.factors) as seen:
                return cut_tile(seen.read(area), seen.read_mask(area), rows, columns)

    def needed_for(self, zoom: int, x: int, y: int) -> Area | None:
        """Return the pixels of the grid that a web-mercator tile shows, with a margin; None for none."""
        left, top = tile_corner(zoom, x, y)
        side = SIDE * pixel_size(zoom)
        bounds = transform_bounds(MERCATOR, self.grid.crs, left, top - side, left + side, top)
        return self.grid.covering([(x, y) for x in bounds[::2] for y in bounds[1::2]], MARGIN)

    def warp(
        self, outputs: NDArray[np.float32], area: Area, zoom: int, x: int, y: int
    ) -> NDArray[np.float32]:
        """Interpolate outputs of the network in an area of its grid at the pixels of a web-mercator tile.

        From float32 (outputs, h, w) to float32 (outputs, 256, 256).
        """
        left, top = tile_corner(zoom, x, y)
        size = pixel_size(zoom)
        warped = np.zeros((len(outputs), SIDE, SIDE), np.float32)
        reproject(
            outputs,
            warped,
            src_transform=self.grid.part(area).transform,
            src_crs=self.grid.crs,
            dst_transform=Affine(size, 0, left, 0, -size, top),
            dst_crs=MERCATOR,
            resampling=Resampling.bilinear,
            tolerance=TOLERANCE,
        )
        return warped
