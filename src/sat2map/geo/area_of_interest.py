"""An area of interest: polygons that say which part of a raster is wanted, and mask the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio.features import geometry_mask

from sat2map.errors import DataError, reason
from sat2map.geo.crs import Box
from sat2map.geo.grid import GeoGrid

_POINTS = 200  # along the longest side of the area, before its edges are transformed


@dataclass(frozen=True)
class AreaOfInterest:
    """Polygons in a CRS, one shapely geometry, and the name of their file for messages."""

    name: str
    polygons: shapely.Geometry
    crs: pyproj.CRS

    @classmethod
    def read(cls, path: Path) -> AreaOfInterest:
        """Read all polygons of a vector file.

        Raises:
            DataError: The file is missing, holds no polygons, or names no CRS.
        """
        import pyogrio  # not at the top: it brings pandas where that is installed

        if not path.exists():
            raise DataError(f"{path} does not exist")
        try:
            meta, _, stored, _ = pyogrio.raw.read(path, columns=[])
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise DataError(f"{path} cannot be read as vectors ({reason(error)})") from None
        shapes = shapely.get_parts(shapely.make_valid(shapely.from_wkb(stored, on_invalid="ignore")))
        shapes = shapely.force_2d(shapes[np.isin(shapely.get_type_id(shapes), (3, 6))])
        if not len(shapes):
            raise DataError(f"{path} holds no polygon", hint="an area of interest is one or more polygons")
        if meta["crs"] is None:
            raise DataError(f"{path} does not name its CRS", hint="convert it to a GeoPackage with one")
        return cls(str(path), shapely.union_all(shapes), pyproj.CRS(meta["crs"]))

    @property
    def bbox(self) -> Box:
        """The box around it, in its CRS."""
        box: Box = self.polygons.bounds
        return box

    def on(self, grid: GeoGrid) -> Clip:
        """Return which pixels of a grid it covers.

        Raises:
            DataError: The grid has no CRS, or one that has no relation to the area's.
        """
        if grid.proj_crs is None:
            raise DataError(f"the raster has no CRS, so {self.name} cannot be laid over it")
        try:
            move = pyproj.Transformer.from_crs(self.crs, grid.proj_crs, always_xy=True)
        except pyproj.exceptions.ProjError:
            raise DataError(
                f"{self.name} is in {self.crs.name}, which has no relation to the raster's"
            ) from None
        left, bottom, right, top = self.bbox
        shape = shapely.segmentize(self.polygons, max(right - left, top - bottom) / _POINTS)
        moved = shapely.transform(shape, move.transform, interleaved=False)
        if not np.isfinite(shapely.bounds(moved)).all():
            raise DataError(f"{self.name} lies outside of the area of the raster's CRS")
        return Clip(moved)


@dataclass(frozen=True)
class Clip:
    """Polygons in a grid's CRS."""

    polygons: shapely.Geometry

    @cached_property
    def key(self) -> str:
        """What tells it from another one."""
        return str(shapely.to_wkb(shapely.normalize(self.polygons), hex=True))

    @property
    def bounds(self) -> Box:
        """The box around it."""
        box: Box = self.polygons.bounds
        return box

    def touches(self, grid: GeoGrid) -> bool:
        """Whether any of it lies in a grid."""
        return bool(shapely.intersects(self.polygons, shapely.Polygon(grid.corners)))

    def mask(self, grid: GeoGrid) -> NDArray[np.uint8]:
        """Return uint8 (h, w): 255 where a pixel's middle lies in it, else 0."""
        shape = (grid.height, grid.width)
        if not self.touches(grid):
            return np.zeros(shape, np.uint8)
        outside = geometry_mask([self.polygons], shape, grid.transform)
        return np.where(outside, np.uint8(0), np.uint8(255))
