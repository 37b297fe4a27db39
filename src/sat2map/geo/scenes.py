"""Georeferenced synthetic towns: an orthophoto and its map as GeoTIFFs on one UTM grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from sat2map.errors import SettingsError
from sat2map.files import atomic_path, locks, require_new_folder
from sat2map.geo.gdal import FAILURES, gdal_env, write_error
from sat2map.synthetic.towns import GSD, draw_town

CRS = "EPSG:32633"  # UTM 33 north
_CORNER = (400_000.0, 5_800_000.0)  # m; where the first town's upper left corner lies


@locks("folder")
def write_scenes(
    folder: Path,
    *,
    count: int,
    size: int,
    seed: int,
    gsd: float = GSD,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Draw towns as `00000-ortho.tif` and `00000-map.tif`, side by side from west to east.

    Args:
        folder: Where to; a new or empty folder.
        count: How many.
        size: Side of each (px, 16 to 4096).
        seed: Scene n is the town of seed + n.
        gsd: Metres per pixel, 0.3 to 4.2.
        progress: Called with scenes drawn and scenes in all.

    Returns:
        The files, orthophoto and map of each town in turn.

    Raises:
        SettingsError: The count, size, seed or gsd is out of range.
        OutputError: The folder is not empty, or cannot be written.
    """
    if count < 1:
        raise SettingsError(f"count is {count}, but at least one scene is needed")
    require_new_folder(folder)
    written = []
    for number in range(count):
        town = draw_town(seed + number, size=size, gsd=gsd)
        west = _CORNER[0] + number * size * gsd
        transform = Affine(gsd, 0, west, 0, -gsd, _CORNER[1])
        for name, pixels in (("ortho", town.source), ("map", town.target)):
            path = folder / f"{number:05d}-{name}.tif"
            _write(path, pixels, transform)
            written.append(path)
        progress(number + 1, count)
    return written


def _write(path: Path, pixels: NDArray[np.uint8], transform: Affine) -> None:
    height, width, bands = pixels.shape
    profile = {"count": bands, "height": height, "width": width, "dtype": "uint8", "crs": CRS}
    try:
        with (
            atomic_path(path) as temporary,
            gdal_env(),
            rasterio.open(
                temporary, "w", driver="GTiff", transform=transform, compress="deflate", tiled=True, **profile
            ) as file,
        ):
            file.write(np.moveaxis(pixels, -1, 0))
    except FAILURES as error:
        raise write_error(path, error) from None
