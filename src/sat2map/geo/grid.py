"""The grid of a raster: where its pixels lie, how large they are, and which of them an area covers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import pyproj
from affine import Affine
from rasterio.crs import CRS

from sat2map.errors import ImageError, SettingsError
from sat2map.geo.control_points import ControlPoints
from sat2map.geo.crs import LONLAT, OUTLINE, Box, ground_distances, moved_box, parse_crs
from sat2map.inference.tiling import Area

_EARTH_RADIUS = (6.3e6, 6.4e6)  # m; between these lies the semi-major axis of each ellipsoid of the Earth


@dataclass(frozen=True)
class GeoGrid:
    """Pixels with a place on the ground.

    Attributes:
        crs: The coordinate reference system; None where it is unknown or `control` says the place.
        transform: Column and row of a pixel's corner → coordinates.
        height: Rows.
        width: Columns.
        control: Ground control points or RPCs, where no transform is exact.
        gsd: Metres per pixel, where the user gives it for a raster that cannot say.
    """

    crs: CRS | None
    transform: Affine
    height: int
    width: int
    control: ControlPoints | None = None
    gsd: float | None = None

    @property
    def whole(self) -> Area:
        """All pixels."""
        return Area(0, 0, self.height, self.width)

    @cached_property
    def proj_crs(self) -> pyproj.CRS | None:
        """The CRS as pyproj has it."""
        return None if self.crs is None else pyproj.CRS(self.crs.to_wkt())

    @property
    def on_earth(self) -> bool:
        """Whether the CRS leads to longitudes and latitudes on Earth: no local CRS, no other planet's."""
        crs = self.proj_crs
        return (
            crs is not None
            and not crs.is_engineering
            and crs.ellipsoid is not None
            and _EARTH_RADIUS[0] < crs.ellipsoid.semi_major_metre < _EARTH_RADIUS[1]
        )

    def part(self, area: Area) -> GeoGrid:
        """Return the grid of a rectangle of pixels."""
        transform = self.transform @ Affine.translation(area.left, area.top)
        control = self.control and self.control.moved(area.left, area.top)
        return replace(self, transform=transform, height=area.height, width=area.width, control=control)

    def extended(self, left: int, top: int, width: int, height: int) -> GeoGrid:
        """Return the grid of the raster in which this one begins at column `left` and row `top`."""
        return replace(self.part(Area(-top, -left, 1, 1)), height=height, width=width)

    def scaled(self, across: float, down: float) -> GeoGrid:
        """Return a grid with the same corner, of pixels `across` times as wide and `down` times as high."""
        return GeoGrid(
            self.crs,
            self.transform @ Affine.scale(across, down),
            max(1, math.ceil(self.height / down - 1e-6)),
            max(1, math.ceil(self.width / across - 1e-6)),
            self.control and self.control.moved(across=across, down=down),
            self.gsd and self.gsd * math.sqrt(across * down),
        )

    def metres(self) -> tuple[float, float] | None:
        """Return width and height of the middle pixel in metres on the ground; None if unknown."""
        if self.gsd is not None:
            return self.gsd, self.gsd
        if self.control is not None:
            return self.control.metres(self.height, self.width)
        crs = self.proj_crs
        if crs is None:
            return None
        column, row = self.width / 2, self.height / 2
        corners = [(column, row), (column + 1, row), (column, row + 1)]
        places = [self.transform @ corner for corner in corners]
        if crs.is_geographic or (crs.is_projected and self.on_earth):
            return ground_distances(crs, places)
        unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 0.0
        if not unit:
            return None
        return unit * math.dist(*places[:2]), unit * math.dist(*places[::2])

    def mean_metres(self) -> float | None:
        """Return the side of a square as large as the middle pixel in metres; None if unknown."""
        metres = self.metres()
        return None if metres is None else math.sqrt(metres[0] * metres[1])

    def lonlat_box(self, name: str) -> Box:
        """Return west, south, east and north of the grid; west > east where it crosses 180 degrees.

        West and east are within [-180, 180].

        Raises:
            ImageError: The raster has no CRS, or lies on no map of the Earth.
        """
        crs = self.proj_crs
        if crs is None:
            if self.control is not None:
                raise ImageError(
                    f"{name} has only {self.control.kind}, which give no exact grid",
                    hint="warp it first, with gdalwarp",
                )
            raise ImageError(
                f"{name} has no CRS, so its place on Earth is unknown", hint="give it one", setting="crs"
            )
        if not self.on_earth:
            raise ImageError(f"{name} has the CRS '{crs.name}', which has no place on a map of the Earth")
        left, bottom, right, top = self.bounds()
        if not crs.is_geographic:
            box = moved_box((left, bottom, right, top), crs, LONLAT)
            if box is None:
                raise ImageError(f"{name} reaches beyond the area of its CRS {self.crs}")
            left, bottom, right, top = box
        elif right - left >= 360 - 1e-9:
            left, right = -180.0, 180.0
        bottom, top = max(bottom, -90.0), min(top, 90.0)
        return _wrapped(left), bottom, _wrapped(right, at_end=True), top

    def area_of(self, box: Box, name: str, box_crs: str | None = None) -> Area:
        """Return the pixels that a box touches.

        Args:
            box: Left, bottom, right, top.
            name: What the raster is called in messages.
            box_crs: The box's CRS; None: the raster's.

        Raises:
            SettingsError: The box is empty, its CRS is unknown, or it lies outside.
        """
        asked = ",".join(f"{edge:.10g}" for edge in box)
        left, bottom, right, top = box
        if not all(map(math.isfinite, box)) or bottom >= top or (left >= right and box_crs is None):
            raise SettingsError(
                f"the box {asked} is empty", hint="give left, bottom, right, top", setting="bbox"
            )
        points = _edges(box)
        if box_crs is not None:
            if self.proj_crs is None:
                raise SettingsError(
                    f"{name} has no CRS, so a box in {box_crs} cannot be found in it", setting="bbox_crs"
                )
            known = parse_crs(box_crs, "bbox_crs")
            move = pyproj.Transformer.from_crs(known, self.proj_crs, always_xy=True)
            points = [move.transform(*point) for point in points]
        area = self.covering(points)
        if area is None:
            edges = ", ".join(f"{edge:.10g}" for edge in self.bounds())
            raise SettingsError(
                f"the box {asked} lies outside {name}, whose left, bottom, right, top are {edges}"
                + (f" in {self.crs}" if box_crs else ""),
                setting="bbox",
            )
        return area

    def covering(self, points: Iterable[tuple[float, float]], margin: int = 0) -> Area | None:
        """Return the pixels among which some places lie, and a margin (px) around; None if there are none."""
        columns, rows = zip(*(~self.transform @ point for point in points), strict=True)
        if not all(map(math.isfinite, (*columns, *rows))):
            return None
        area = Area(
            max(0, math.floor(min(rows) + 1e-6) - margin),
            max(0, math.floor(min(columns) + 1e-6) - margin),
            min(self.height, math.ceil(max(rows) - 1e-6) + margin),
            min(self.width, math.ceil(max(columns) - 1e-6) + margin),
        )
        return area if area.height > 0 and area.width > 0 else None

    def covering_box(self, box: Box, crs: str, margin: int = 0) -> Area | None:
        """Return the pixels that a box in another CRS covers, and a margin (px); None if there are none."""
        assert self.proj_crs is not None
        moved = moved_box(box, crs, self.proj_crs)
        return moved and self.covering([(x, y) for x in moved[::2] for y in moved[1::2]], margin)

    @property
    def corners(self) -> list[tuple[float, float]]:
        """Its corners, one after the other around it."""
        pixels = ((0, 0), (self.width, 0), (self.width, self.height), (0, self.height))
        return [self.transform @ pixel for pixel in pixels]

    def bounds(self) -> Box:
        """Return left, bottom, right, top, around all corners where the grid is turned."""
        xs, ys = zip(*self.corners, strict=True)
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
            f"the window {','.join(map(str, window))} (column, row, width, height) does not lie in {name}, "
            f"which is {grid.width}×{grid.height} px",
            setting="window",
        )
    return area


def _wrapped(longitude: float, *, at_end: bool = False) -> float:
    """Return a longitude within [-180, 180]; one on the meridian itself stays at the end it belongs to."""
    wrapped = (longitude + 180) % 360 - 180
    return 180.0 if at_end and wrapped == -180 else wrapped


def _edges(box: Box) -> list[tuple[float, float]]:
    """Return points along the edges of a box; one that crosses 180 degrees goes on beyond it."""
    left, bottom, right, top = box
    if left > right:
        right += 360
    steps = [i / OUTLINE for i in range(OUTLINE + 1)]
    across = [(left + (right - left) * s, y) for s in steps for y in (bottom, top)]
    return across + [(x, bottom + (top - bottom) * s) for s in steps for x in (left, right)]
