"""Owns the ground under a raster: metres a pixel, rectangles in coordinates and in pixels, coarser grids."""

from __future__ import annotations

import math
from dataclasses import dataclass

from affine import Affine
from pyproj import Geod
from rasterio.crs import CRS
from rasterio.warp import transform as transform_points

from sat2map.errors import SettingsError
from sat2map.inference.tiling import Area

_EARTH = Geod(ellps="WGS84")


@dataclass(frozen=True)
class GeoGrid:
    """Pixels on the ground.

    Attributes:
        crs: The coordinate reference system; None where the raster does not say.
        transform: Column and row of a pixel's corner → coordinates.
        height: Rows.
        width: Columns.
    """

    crs: CRS | None
    transform: Affine
    height: int
    width: int

    @property
    def whole(self) -> Area:
        """All of it."""
        return Area(0, 0, self.height, self.width)

    def part(self, area: Area) -> GeoGrid:
        """Return the grid of a rectangle of pixels."""
        moved = self.transform @ Affine.translation(area.left, area.top)
        return GeoGrid(self.crs, moved, area.height, area.width)

    def scaled(self, across: float, down: float) -> GeoGrid:
        """Return a grid with the same corner, of pixels `across` times as wide and `down` times as high."""
        return GeoGrid(
            self.crs,
            self.transform @ Affine.scale(across, down),
            max(1, math.ceil(self.height / down - 1e-6)),
            max(1, math.ceil(self.width / across - 1e-6)),
        )

    def metres(self) -> tuple[float, float] | None:
        """Return width and height of the middle pixel in metres on the ground; None where there is no CRS."""
        if self.crs is None:
            return None
        column, row = self.width / 2, self.height / 2
        corners = [(column, row), (column + 1, row), (column, row + 1)]
        xs, ys = zip(*(self.transform @ corner for corner in corners), strict=True)
        try:
            longitudes, latitudes = transform_points(self.crs, "EPSG:4326", xs, ys)
        except Exception:  # a local CRS that lies nowhere on Earth
            return None
        if not all(map(math.isfinite, (*longitudes, *latitudes))):
            return None
        here, right, below = zip(longitudes, latitudes, strict=True)
        return _EARTH.inv(*here, *right)[2], _EARTH.inv(*here, *below)[2]

    def area_of(self, bounds: tuple[float, float, float, float], name: str) -> Area:
        """Return the pixels that left, bottom, right, top in coordinates of the CRS touch.

        Raises:
            SettingsError: They lie outside.
        """
        left, bottom, right, top = bounds
        corners = [~self.transform @ (x, y) for x in (left, right) for y in (bottom, top)]
        columns, rows = zip(*corners, strict=True)
        area = Area(
            max(0, math.floor(min(rows) + 1e-6)),
            max(0, math.floor(min(columns) + 1e-6)),
            min(self.height, math.ceil(max(rows) - 1e-6)),
            min(self.width, math.ceil(max(columns) - 1e-6)),
        )
        if area.height <= 0 or area.width <= 0:
            edges = ", ".join(f"{edge:.10g}" for edge in self.bounds())
            asked = ",".join(f"{edge:.10g}" for edge in bounds)
            raise SettingsError(
                f"--bounds {asked} lie outside {name}: its left, bottom, right, top are {edges}"
            )
        return area

    def bounds(self) -> tuple[float, float, float, float]:
        """Return left, bottom, right, top, around all corners where the grid is turned."""
        corners = [self.transform @ (x, y) for x in (0, self.width) for y in (0, self.height)]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def window_area(window: tuple[int, int, int, int], grid: GeoGrid, name: str) -> Area:
    """Return the pixels of a window: column and row of its corner, width and height.

    Raises:
        SettingsError: It does not lie in the raster.
    """
    column, row, width, height = window
    area = Area(row, column, row + height, column + width)
    if min(column, row) < 0 or min(width, height) < 1 or area.bottom > grid.height or area.right > grid.width:
        raise SettingsError(
            f"--window {','.join(map(str, window))} (column, row, width, height) does not lie in {name}, "
            f"which is {grid.width}×{grid.height} px"
        )
    return area
