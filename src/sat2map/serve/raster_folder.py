"""The folder of rasters: what is in it, under which names, and reading it in web mercator."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling

from sat2map.errors import ImageError, Sat2MapError
from sat2map.geo.gdal import FAILURES, reason
from sat2map.geo.georeference import read_grid
from sat2map.geo.read import open_raster
from sat2map.geo.samples import warped, without_alpha
from sat2map.geo.web_mercator import EDGE, SIDE, Coverage, find_coverage, pixel_size, zoom_of
from sat2map.images.bands import Limits
from sat2map.images.levels import to_8_bits
from sat2map.images.masks import PixelMask
from sat2map.images.vrt import plain_samples
from sat2map.inference.tiling import Area
from sat2map.serve.http_errors import NotFoundError

# What is opened, and by nothing else: a VRT in disguise could point at any file of the machine.
DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".jp2": "JP2OpenJPEG"}
MERCATOR = CRS.from_epsg(3857)
_RESCAN = 5  # s

_log = logging.getLogger("sat2map.serve")


class Piece(NamedTuple):
    """A rectangle of the world: pixels, uint8 (h, w, bands), and mask, uint8 (h, w), 0 where nothing is."""

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
        mask: How their valid pixels are found.
        scale: Values of each that become 0 and 255, or None for 8 bits as they are.
        coverage: Where it lies among the tiles of the world.
        max_zoom: The zoom of its own resolution.
        width: Columns.
        height: Rows.
    """

    name: str
    path: Path
    identity: str
    bands: tuple[int, ...]
    mask: PixelMask
    scale: Limits | None
    coverage: Coverage
    max_zoom: int
    width: int
    height: int

    def zoom_for(self, metres: float | None) -> int:
        """Return the zoom at which a pixel is about `metres` wide on the ground, at most the raster's own."""
        if metres is None:
            return self.max_zoom
        latitude = math.radians(self.coverage.centre[1])
        zoom = round(zoom_of(metres / math.cos(latitude)))
        return min(max(zoom, 0), self.max_zoom)

    def pixels(self, zoom: int) -> Area:
        """Return the rectangle that it covers among the pixels of the world at a zoom."""
        size = pixel_size(zoom)
        left, bottom, right, top = self.coverage.world
        return Area(
            math.floor((EDGE - top) / size),
            math.floor((left + EDGE) / size),
            math.ceil((EDGE - bottom) / size),
            math.ceil((right + EDGE) / size),
        )

    def tile_limits(self, zoom: int) -> dict[str, int]:
        """Return the first and last row and column of the tiles at a zoom, in OGC's words."""
        area, last = self.pixels(zoom), (1 << zoom) - 1
        rows, columns = (area.top, area.bottom - 1), (area.left, area.right - 1)
        low, high = (min(max(v // SIDE, 0), last) for v in rows)
        left, right = (min(max(v // SIDE, 0), last) for v in columns)
        return {
            "tileMatrix": zoom, "minTileRow": low, "maxTileRow": high, "minTileCol": left, "maxTileCol": right
        }  # fmt: skip

    def read(self, zoom: int, area: Area) -> Piece:
        """Read a rectangle of the world's pixels at a zoom.

        Raises:
            ImageError: The file is damaged, or gone.
        """
        size = pixel_size(zoom)
        left, top = area.left * size - EDGE, EDGE - area.top * size
        try:
            with contextlib.ExitStack() as stack:
                plain = stack.enter_context(plain_samples(stack.enter_context(_open(self.path))))
                vrt, mask = warped(
                    stack.enter_context(without_alpha(plain, self.mask)),
                    self.mask,
                    resampling=Resampling.bilinear,
                    crs=MERCATOR,
                    transform=Affine(size, 0, left, 0, -size, top),
                    width=area.width,
                    height=area.height,
                )
                values = stack.enter_context(vrt).read(self.bands)
                valid = mask.read(vrt, values)
        except FAILURES as error:
            raise ImageError(
                f"{self.name} cannot be read here ({reason(error)}): the file may be damaged"
            ) from None
        levels = values if self.scale is None else to_8_bits(values, self.scale)
        return Piece(np.ascontiguousarray(np.moveaxis(levels, 0, -1)), valid)


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


def _open(path: Path) -> rasterio.DatasetReader:
    return rasterio.open(path, driver=DRIVERS[path.suffix.lower()])


def _inspect(name: str, path: Path, identity: str) -> RasterFile | str:
    label = f"the raster {name}"
    try:
        with _open(path) as dataset:
            coverage = find_coverage(read_grid(dataset, str(path), []), str(path))
            width, height = dataset.width, dataset.height
        with open_raster(path, bands=None, count=3) as raster:
            bands, mask, scale = raster.bands, raster.mask, raster.scale
            zoom = coverage.zooms()[1]
            return RasterFile(name, path, identity, bands, mask, scale, coverage, zoom, width, height)
    except Sat2MapError as error:  # its words name the path
        return str(error).replace(str(path), label)
    except Exception as error:
        _log.warning("%s cannot be shown: %s", path, error)
        return f"{label} cannot be read: it is damaged, or no GeoTIFF"
