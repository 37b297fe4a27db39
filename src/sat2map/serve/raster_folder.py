"""Owns the folder of rasters: what is in it, under which names, and reading any of it in web mercator."""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rio_tiler.errors import NoOverviewWarning, RioTilerError
from rio_tiler.io import Reader

from sat2map.errors import ImageError, Sat2MapError
from sat2map.geo.gdal import FAILURES, reason
from sat2map.geo.read import Scale, open_raster
from sat2map.inference.tiling import Area
from sat2map.serve.http_errors import NotFoundError

# What is opened, and by nothing else: a VRT in disguise could point at any file of the machine.
DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".jp2": "JP2OpenJPEG"}
TILE = 256  # px
MAX_ZOOM = 24
_EARTH = 2 * math.pi * 6378137  # m; the width of the world in web mercator
_MERCATOR = CRS.from_epsg(3857)
_RESCAN = 5  # s

# Small rasters need no overviews, and who runs the service reads no warnings. Set once, as threads may read.
warnings.simplefilter("ignore", NoOverviewWarning)
_log = logging.getLogger("sat2map.serve")


class Piece(NamedTuple):
    """A rectangle of the world.

    Attributes:
        pixels: uint8 (h, w, bands).
        mask: uint8 (h, w), 0 where the raster has nothing.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class RasterFile:
    """A raster that can be shown.

    Attributes:
        name: What clients call it.
        path: Where it is.
        identity: Changes when the file does.
        bands: Which are shown: red, green and blue, or one three times.
        scale: Values of each that become 0 and 255, or None for 8 bits as they are.
        opaque: Whether its alpha band is none.
        bounds: West, south, east, north in degrees.
        world: The same in web mercator (m).
        max_zoom: The zoom of its own resolution.
        width: Columns.
        height: Rows.
    """

    name: str
    path: Path
    identity: str
    bands: tuple[int, ...]
    scale: Scale | None
    opaque: bool
    bounds: tuple[float, float, float, float]
    world: tuple[float, float, float, float]
    max_zoom: int
    width: int
    height: int

    def zoom_for(self, metres: float | None) -> int:
        """Return the zoom at which a pixel is about `metres` wide on the ground, at most the raster's own."""
        if metres is None:
            return self.max_zoom
        latitude = math.radians((self.bounds[1] + self.bounds[3]) / 2)
        zoom = round(math.log2(_EARTH * math.cos(latitude) / TILE / metres))
        return min(max(zoom, 0), self.max_zoom)

    def pixels(self, zoom: int) -> Area:
        """Return the rectangle that it covers among the pixels of the world at a zoom."""
        size = pixel_size(zoom)
        left, bottom, right, top = self.world
        return Area(
            math.floor((_EARTH / 2 - top) / size),
            math.floor((left + _EARTH / 2) / size),
            math.ceil((_EARTH / 2 - bottom) / size),
            math.ceil((right + _EARTH / 2) / size),
        )

    def read(self, zoom: int, area: Area) -> Piece:
        """Read a rectangle of the world's pixels at a zoom.

        Raises:
            ImageError: The file is damaged, or gone.
        """
        size = pixel_size(zoom)
        left, top = area.left * size - _EARTH / 2, _EARTH / 2 - area.top * size
        box = (left, top - area.height * size, left + area.width * size, top)
        try:
            with _open(self.path) as dataset, Reader(None, dataset=dataset) as reader:
                image = reader.part(
                    box,
                    dst_crs=_MERCATOR,
                    bounds_crs=_MERCATOR,
                    indexes=self.bands,
                    width=area.width,
                    height=area.height,
                    resampling_method="bilinear",
                    reproject_method="bilinear",
                )
        except (*FAILURES, RioTilerError) as error:
            raise ImageError(
                f"{self.name} cannot be read here ({reason(error)}): the file may be damaged"
            ) from None
        values, mask = image.data, image.mask
        if self.opaque:
            mask = np.where((mask > 0) | (values != 0).any(axis=0), np.uint8(255), np.uint8(0))
        if self.scale is not None:
            lows, highs = (
                np.array(limits, np.float32)[:, None, None] for limits in zip(*self.scale, strict=True)
            )
            values = np.clip(
                (np.nan_to_num(values.astype(np.float32)) - lows) * (255 / (highs - lows)), 0, 255
            )
        pixels = np.ascontiguousarray(np.moveaxis(np.rint(values).astype(np.uint8), 0, -1))
        return Piece(pixels, np.asarray(mask, np.uint8))


class RasterFolder:
    """The rasters in a folder and those below it, found again when they change.

    A name is looked up among those found and is never made into a path, and what a link leads to outside of
    the folder is not found.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._lock = threading.Lock()
        self._known: dict[tuple[Path, str], RasterFile | str] = {}
        self._names: dict[str, RasterFile | str] = {}
        self._scanned = -math.inf

    def all(self) -> dict[str, RasterFile | str]:
        """Return all rasters by name; one that cannot be shown is the sentence that says why."""
        with self._lock:
            if time.monotonic() - self._scanned > _RESCAN:
                self._scan()
                self._scanned = time.monotonic()
            return self._names

    def find(self, name: str) -> RasterFile:
        """Return a raster by name.

        Raises:
            NotFoundError: There is none.
            ImageError: It cannot be shown.
        """
        found = self.all().get(name)
        if found is None:
            raise NotFoundError(f"no raster is called {name!r}")
        if isinstance(found, str):
            raise ImageError(found)
        return found

    def _scan(self) -> None:
        names: dict[str, RasterFile | str] = {}
        known: dict[tuple[Path, str], RasterFile | str] = {}
        for path in sorted(self._folder.rglob("*")):
            real = path.resolve()
            if (
                path.suffix.lower() not in DRIVERS
                or not real.is_file()
                or not real.is_relative_to(self._folder)
            ):
                continue
            inside = path.relative_to(self._folder)
            name = "--".join(inside.with_suffix("").parts)
            if name in names:
                name = "--".join(inside.parts)
            stat = real.stat()
            identity = hashlib.sha256(f"{real} {stat.st_mtime_ns} {stat.st_size}".encode()).hexdigest()[:16]
            key = (path, identity)
            known[key] = names[name] = self._known.get(key) or _inspect(name, real, identity)
        self._known, self._names = known, names


def pixel_size(zoom: int) -> float:
    """Return the side of a pixel of the world at a zoom, in metres of web mercator."""
    return _EARTH / (TILE << zoom)


def tile_corner(zoom: int, x: int, y: int) -> tuple[float, float]:
    """Return the upper left corner of a tile in web mercator (m)."""
    side = TILE * pixel_size(zoom)
    return x * side - _EARTH / 2, _EARTH / 2 - y * side


def _open(path: Path) -> rasterio.DatasetReader:
    return rasterio.open(path, driver=DRIVERS[path.suffix.lower()])


def _inspect(name: str, path: Path, identity: str) -> RasterFile | str:
    label = f"the raster {name}"
    try:
        with _open(path) as dataset:
            if dataset.crs is None:
                return f"{label} has no coordinate reference system: nobody can tell where it lies"
            with Reader(None, dataset=dataset) as reader:
                bounds = reader.get_geographic_bounds(CRS.from_epsg(4326))
                world = reader.get_geographic_bounds(_MERCATOR)
                zoom = min(reader.maxzoom, MAX_ZOOM)
            width, height, has_alpha = dataset.width, dataset.height, dataset.count in (2, 4)
        if not all(map(math.isfinite, (*bounds, *world))):
            return f"{label} lies nowhere on a web map: reproject it first"
        with open_raster(path, bands=None, count=3) as raster:
            opaque = has_alpha and raster.mask_kind == "none"
            return RasterFile(
                name, path, identity, raster.bands, raster.scale, opaque, bounds, world, zoom, width, height
            )
    except Sat2MapError as error:  # its words name the path
        return str(error).replace(str(path), label)
    except Exception as error:
        _log.warning("%s cannot be shown: %s", path, error)
        return f"{label} cannot be read: it is damaged, or no GeoTIFF"
