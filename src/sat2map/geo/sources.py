"""A raster that a user names, as GDAL opens it, and which part of it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import rasterio

from sat2map.errors import ImageError
from sat2map.geo.addresses import is_remote, shown
from sat2map.geo.crs import Box
from sat2map.geo.gdal import FAILURES, reason
from sat2map.geo.georeference import read_grid, reject_container
from sat2map.geo.vrt import window_vrt


@dataclass(frozen=True)
class Source:
    """A raster that GDAL opens.

    Attributes:
        path: What GDAL opens: a path, an address, or a description in XML.
        name: What to call it in messages.
        remote: Whether reading goes over a network.
        bbox_crs: The CRS in which a box is given where the user names none; None: the raster's.
        alpha: Number of the band that is the mask; None: the raster says it, or has none.
        notes: What a user should know before the work.
        trouble: Says what is wrong where a read has failed.
    """

    path: str
    name: str
    remote: bool = False
    bbox_crs: str | None = None
    alpha: int | None = None
    notes: tuple[str, ...] = ()
    trouble: Callable[[], str] | None = None

    def describe(self, error: BaseException) -> str:
        """Say why a read has failed."""
        return (self.trouble() if self.trouble else "") or reason(error)

    @classmethod
    def of(cls, source: str | Path | Source) -> Source:
        """Return a source for what GDAL opens as it is."""
        if isinstance(source, Source):
            return source
        return cls(str(source), shown(str(source)), is_remote(str(source)))


@dataclass(frozen=True)
class Place:
    """Which part of a source is wanted, as the user says it.

    Attributes:
        bbox: Left, bottom, right, top; None: all of it.
        bbox_crs: The box's CRS; None: longitude and latitude for services, else the raster's.
        zoom: Zoom level of a service's tiles.
        asset: Name of a STAC item's asset.
    """

    bbox: Box | None = None
    bbox_crs: str | None = None
    zoom: int | None = None
    asset: str | None = None


def cut_source(
    source: Source, bbox: Box, bbox_crs: str | None, check: Callable[[int], None] = lambda blocks: None
) -> Source:
    """Return the part of a raster that lies in a box, as GDAL's virtual raster.

    Args:
        source: The raster.
        bbox: Left, bottom, right, top.
        bbox_crs: The box's CRS; None: the raster's.
        check: Called with the number of the raster's blocks that the box touches.

    Raises:
        ImageError: It cannot be opened.
        SettingsError: The box lies outside.
    """
    try:
        with rasterio.open(source.path) as dataset:
            reject_container(dataset, source.name)
            grid = read_grid(dataset, source.name, [])
            area = grid.area_of(bbox, source.name, bbox_crs)
            height, width = dataset.block_shapes[0]
            check(-(-area.height // height) * -(-area.width // width))
            return replace(source, path=window_vrt(dataset, area, grid))
    except FAILURES as error:
        raise ImageError(f"{source.name} cannot be opened ({source.describe(error)})") from None
