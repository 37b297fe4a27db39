"""Opens rasters: finds bands, mask, limits and georeference of whatever GDAL reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import rasterio

from sat2map.errors import ImageError
from sat2map.geo.addresses import shown
from sat2map.geo.gdal import FAILURES
from sat2map.geo.georeference import read_grid, reject_container
from sat2map.geo.raster import Dataset, Raster
from sat2map.geo.samples import (
    check_units,
    find_bands,
    find_limits,
    find_mask,
    readable,
    without_alpha,
)
from sat2map.geo.sources import Source
from sat2map.images.levels import Stretch, measure_limits
from sat2map.images.masks import PixelMask
from sat2map.images.vrt import plain_samples


@contextlib.contextmanager
def open_raster(
    source: str | Path | Source,
    *,
    bands: tuple[int, ...] | None,
    count: int,
    scale: tuple[float, ...] | None = None,
    crs: str | None = None,
    gsd: float | None = None,
    stretch: Stretch = measure_limits,
) -> Iterator[Raster]:
    """Open whatever GDAL reads.

    Args:
        source: A path, an address that GDAL knows (https://, s3://, /vsicurl/…), or what `find_source` gives.
        bands: Which bands to read, from 1; None for red, green, blue, or the first ones.
        count: How many are needed; a single grey one is repeated.
        scale: Lowest and highest value, once or for each band, that become 0 and 255; None leaves 8 bits as
            they are, and `stretch` finds those of anything else.
        crs: Its CRS, where the file names none or a wrong one.
        gsd: Its metres per pixel, where it has no CRS.
        stretch: What finds limits that are not given: percentiles 2 and 98.

    Raises:
        ImageError: It cannot be opened, holds no pixels that a model could take, or lies nowhere.
        SettingsError: `bands`, `scale`, `crs` or `gsd` do not fit it.
    """
    source = Source.of(source)
    name = source.name
    with contextlib.ExitStack() as handles:
        try:
            stored = handles.enter_context(_open(source))
        except FAILURES as error:
            raise _open_error(source, error) from None
        notes = list(source.notes)
        with readable(name):
            reject_container(stored, name)
            grid = read_grid(stored, name, notes, crs=crs, gsd=gsd)
            if stored.driver == "GTiff" and len(stored.subdatasets) > 1:
                notes.append(
                    f"{name} holds {len(stored.subdatasets)} images (pages): the first is used; "
                    f"{shown(stored.subdatasets[1])} names the second"
                )
            plain = handles.enter_context(plain_samples(stored))
            chosen = find_bands(plain, bands, count, name, notes)
            if max(chosen) <= stored.count:
                check_units(stored, chosen, scale, name, notes)
            if source.alpha is None:
                mask = find_mask(plain, chosen, name, notes)
            else:  # of services, whose pixels are not read before the work
                mask = PixelMask("alpha", chosen, (None,) * len(chosen), source.alpha)
            dataset = handles.enter_context(without_alpha(plain, mask))
            limits = find_limits(dataset, chosen, mask, scale, name, notes, stretch)

        def open_again(handles: contextlib.ExitStack) -> tuple[Dataset, None]:
            plain = handles.enter_context(plain_samples(handles.enter_context(_open(source))))
            return handles.enter_context(without_alpha(plain, mask)), None

        raster = Raster(
            name, grid, chosen, mask, limits, source, dataset, None, open_again, handles.pop_all(), notes
        )
        try:
            yield raster
        finally:
            raster.handles.close()


def _open(source: Source) -> rasterio.DatasetReader:
    """Open what GDAL reads; of a remote file, nothing beside it is looked for."""
    with rasterio.Env(**({"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"} if source.remote else {})):
        return rasterio.open(source.path)


def _open_error(source: Source, error: BaseException) -> ImageError:
    name = source.name
    if "://" not in source.path and not source.path.startswith("/vsi") and not Path(source.path).exists():
        return ImageError(f"{name} does not exist")
    return ImageError(f"{name} cannot be opened as a raster ({source.describe(error)})")
