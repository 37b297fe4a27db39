"""One stretch for all rasters of a job, so that the maps of neighbouring sheets join."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import rasterio

from sat2map.errors import Sat2MapError
from sat2map.geo.gdal import FAILURES, gdal_env
from sat2map.geo.raster_job import RasterOptions, resolve_source
from sat2map.geo.read import open_raster
from sat2map.images.shared_limits import SharedLimits, evenly


def shared_scales(
    sources: Sequence[str], options: RasterOptions, count: int
) -> tuple[dict[str, tuple[float, ...]], list[str]]:
    """Measure one pair of limits a band for the rasters of each type of samples.

    Args:
        sources: The rasters; what cannot be opened is left out, and reported in its turn.
        options: How they are translated; where their `scale` is given, nothing is measured.
        count: Bands that the model takes.

    Returns:
        The scale of each raster that is not 8-bit, for `RasterOptions.scale`, and what a user should know.
    """
    if options.scale is not None:
        return {}, []
    alike: dict[Any, list[str]] = {}
    for source in sources:
        with contextlib.suppress(Sat2MapError, *FAILURES), gdal_env():
            path = resolve_source(source, options)[0].path
            with rasterio.open(path) as dataset:
                # Numbers that stand for other values are not comparable.
                kind = dataset.dtypes, dataset.scales, dataset.offsets, dataset.descriptions
            if {*kind[0]} != {"uint8"}:
                alike.setdefault(kind, []).append(source)
    scales: dict[str, tuple[float, ...]] = {}
    notes: list[str] = []
    for members in alike.values():
        shared = SharedLimits()
        for member in evenly(members):
            with contextlib.suppress(Sat2MapError, *FAILURES), gdal_env():
                found = resolve_source(member, options)[0]
                with open_raster(
                    found, bands=options.bands, count=count, crs=options.crs, gsd=options.gsd,
                    stretch=shared.add,
                ):  # fmt: skip
                    pass
        if len(found_limits := shared.all()) == 1:
            scales |= dict.fromkeys(members, tuple(v for pair in found_limits[0] for v in pair))
            notes += shared.notes(len(members))
    return scales, notes
