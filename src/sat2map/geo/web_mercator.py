"""Which web-mercator tiles a raster covers: across 180 degrees too, from 0 to 360 degrees, near the poles."""

from __future__ import annotations

import math
from typing import NamedTuple

import morecantile

from sat2map.errors import ImageError
from sat2map.geo.crs import Box
from sat2map.geo.grid import GeoGrid

SIDE = 256  # px of a tile
HIGHEST_ZOOM = 24
MAX_LATITUDE = 85.0511287798066  # degrees; where web mercator ends
EDGE = math.pi * 6378137  # m; EPSG:3857 reaches from -EDGE to EDGE
_TMS = morecantile.tms.get("WebMercatorQuad")


def pixel_size(zoom: int) -> float:
    """Return the side of a pixel of the world at a zoom, in metres of web mercator."""
    return 2 * EDGE / (SIDE << zoom)


def zoom_of(size: float) -> float:
    """Return the zoom, with a fraction, at which a pixel of the world has a side of `size` metres."""
    return math.log2(2 * EDGE / SIDE / size)


def tile_corner(zoom: int, x: int, y: int) -> tuple[float, float]:
    """Return the upper left corner of a tile in web mercator (m)."""
    side = SIDE * pixel_size(zoom)
    return x * side - EDGE, EDGE - y * side


def tile_range(first: float, last: float, zoom: int) -> range:
    """Return the columns or rows of tiles between two places along the world, 0 to 1; at least one."""
    count = 1 << zoom
    start = min(max(math.floor(first * count + 1e-9), 0), count - 1)
    return range(start, max(min(math.ceil(last * count - 1e-9), count), start + 1))


class CoveragePart(NamedTuple):
    """A box of longitudes and latitudes within web mercator that does not cross 180 degrees.

    `shift` is what is added to the raster's x coordinates to bring them into the box.
    """

    west: float
    south: float
    east: float
    north: float
    shift: float

    def columns(self, zoom: int) -> range:
        """Return the columns of tiles that it touches."""
        return tile_range((self.west + 180) / 360, (self.east + 180) / 360, zoom)

    def rows(self, zoom: int) -> range:
        """Return the rows of tiles that it touches, counted from the north."""
        return tile_range(_from_north(self.north), _from_north(self.south), zoom)


class Coverage(NamedTuple):
    """Where a raster lies among the tiles of the world.

    Attributes:
        parts: One, or one on each side of 180 degrees.
        centre: Longitude and latitude of its middle.
        resolution: Metres of web mercator per pixel, in the middle.
    """

    parts: tuple[CoveragePart, ...]
    centre: tuple[float, float]
    resolution: float

    @property
    def bounds(self) -> Box:
        """Return west, south, east, north: all longitudes where it crosses 180 degrees."""
        west, east = (self.parts[0].west, self.parts[0].east) if len(self.parts) == 1 else (-180.0, 180.0)
        return west, self.parts[0].south, east, self.parts[0].north

    @property
    def world(self) -> Box:
        """Return the bounds in EPSG:3857."""
        west, south, east, north = self.bounds
        bottom, top = (EDGE - 2 * EDGE * _from_north(edge) for edge in (south, north))
        return west / 180 * EDGE, bottom, east / 180 * EDGE, top

    def count(self, zoom: int) -> int:
        """Return how many tiles it touches."""
        columns = [part.columns(zoom) for part in self.parts]
        shared = 0
        if len(columns) == 2:
            shared = max(0, min(c.stop for c in columns) - max(c.start for c in columns))
        return (sum(map(len, columns)) - shared) * len(self.parts[0].rows(zoom))

    def touches(self, zoom: int, x: int, y: int) -> bool:
        """Whether it touches a tile."""
        return any(x in part.columns(zoom) and y in part.rows(zoom) for part in self.parts)

    def zooms(self) -> tuple[int, int]:
        """Return the zoom at which one tile shows all of it, and that of its own resolution."""
        highest = min(int(_TMS.zoom_for_res(self.resolution, zoom_level_strategy="auto")), HIGHEST_ZOOM)
        lowest = highest
        while lowest > 0 and self.count(lowest) > 1:
            lowest -= 1
        return lowest, highest


def find_coverage(grid: GeoGrid, name: str) -> Coverage:
    """Return which tiles of the world a raster covers.

    Raises:
        ImageError: It lies nowhere on a map of the Earth, or beyond the end of web mercator at a pole.
    """
    west, south, east, north = grid.lonlat_box(name)
    south, north = max(south, -MAX_LATITUDE), min(north, MAX_LATITUDE)
    if south >= north:
        raise ImageError(f"{name} lies beyond {MAX_LATITUDE:.2f} degrees of latitude, where web maps end")
    crs = grid.proj_crs
    assert crs is not None
    period = 360.0 if crs.is_geographic else 2 * EDGE if crs.to_epsg() == 3857 else 0.0
    if period:
        left, _, right, _ = (edge * 360 / period for edge in grid.bounds())
        turns = range(math.floor((left + 180) / 360), math.ceil((right + 180) / 360))
        sides = [(max(left - 360 * k, -180), min(right - 360 * k, 180), -period * k) for k in turns]
        middle = (left + right) / 2
    else:
        sides = [(west, east, 0.0)] if west < east else [(west, 180.0, 0.0), (-180.0, east, 0.0)]
        middle = (west + east + (0 if west < east else 360)) / 2
    parts = tuple(CoveragePart(w, south, e, north, shift) for w, e, shift in sides if e - w > 1e-9)
    centre = ((middle + 180) % 360 - 180, (south + north) / 2)
    side = grid.mean_metres()
    if side is None or not parts:
        raise ImageError(f"{name} lies nowhere on a web map", hint="reproject it first")
    return Coverage(parts, centre, side / math.cos(math.radians(centre[1])))


def _from_north(latitude: float) -> float:
    """Return how far from the north of web mercator a latitude lies, 0 to 1."""
    sine = math.sin(math.radians(latitude))
    return 0.5 - math.log((1 + sine) / (1 - sine)) / (4 * math.pi)
