"""Putting the windows of one raster together again: a VRT that lists them, or one COG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import rasterio
from rasterio.enums import ColorInterp

from sat2map.bulk.tasks import Mosaic, Task
from sat2map.errors import OutputError
from sat2map.files import atomic_path
from sat2map.geo.gdal import FAILURES, gdal_env, write_error
from sat2map.geo.georeference import read_grid
from sat2map.geo.vrt import Vrt, copy_to_cog
from sat2map.images.masks import has_mask_band
from sat2map.inference.tiling import Area

_MEANINGS = {
    ColorInterp.red: "Red",
    ColorInterp.green: "Green",
    ColorInterp.blue: "Blue",
    ColorInterp.alpha: "Alpha",
    ColorInterp.gray: "Gray",
}


def write_vrt(mosaic: Mosaic, folder: Path, there: Sequence[Task]) -> Path:
    """Write a VRT, GDAL's own list of files that make up one raster, of a mosaic's windows.

    Windows without a file are those with nothing in them: the VRT says so in the way that the others do. No
    pixel is read or copied, so this takes as long for a country as for a village.

    Args:
        mosaic: What was cut; all of its tasks are done.
        folder: The job's folder; the VRT names files relative to it, and both may move together.
        there: Those of them that have a file; the first one's must be in the folder.

    Raises:
        OutputError: It cannot be written, or no window holds anything.
    """
    path = folder / f"{mosaic.name}.vrt"
    if not there:
        raise OutputError(f"{path} is not written: every window of the raster holds only nodata")
    try:
        with gdal_env():
            vrt = _describe(mosaic, folder / there[0].output, there[0].window)
    except FAILURES as error:
        raise write_error(path, error) from None
    for task in there:
        assert task.window is not None
        column, row, width, height = task.window
        vrt.add_file(task.output, Area(row, column, row + height, column + width))
    with atomic_path(path) as temporary:
        vrt.write(temporary)
    return path


def write_cog(vrt: Path) -> Path:
    """Copy a VRT into one Cloud-Optimized GeoTIFF beside it.

    Raises:
        OutputError: It cannot be written.
    """
    path = vrt.with_suffix(".tif")
    with gdal_env(), atomic_path(path) as temporary:
        copy_to_cog(vrt, temporary, path, average=True)
    return path


def _describe(mosaic: Mosaic, example: Path, window: tuple[int, int, int, int] | None) -> Vrt:
    """Return a VRT of the whole without any window in it; `example` says all that they have in common."""
    assert window is not None
    with rasterio.open(example) as file:
        return Vrt(
            read_grid(file, str(example), []).extended(window[0], window[1], mosaic.width, mosaic.height),
            [_MEANINGS.get(meaning, "Undefined") for meaning in file.colorinterp],
            nodata=file.nodata,
            mask=has_mask_band(file),
            tags={
                key: value
                for key, value in file.tags().items()
                if key.startswith(("SAT2MAP_", "TIFFTAG_SOFTWARE"))
            },
        )
