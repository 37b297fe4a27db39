"""Reading where a raster lies: by a CRS and a transform, by control points, or as the user says."""

from __future__ import annotations

from dataclasses import replace

import rasterio

from sat2map.errors import ImageError
from sat2map.geo.control_points import EXACT, read_control_points
from sat2map.geo.grid import GeoGrid

SUBDATASETS = 8  # named in an error; files of some missions hold hundreds


def read_grid(
    dataset: rasterio.DatasetReader,
    name: str,
    notes: list[str],
    *,
    crs: str | None = None,
    gsd: float | None = None,
) -> GeoGrid:
    """Return where a raster lies.

    Control points that are one affine transform become it; others are kept as they are. A CRS without a
    transform is no place, and is left out.

    Args:
        dataset: The raster.
        name: What it is called in messages.
        notes: Gets a sentence for each thing that a user should know.
        crs: Its CRS, where the file names none or a wrong one.
        gsd: Its metres per pixel, where it has no CRS.

    Raises:
        ImageError: The georeference is impossible.
        SettingsError: `crs` or `gsd` do not fit it.
    """
    placed = not dataset.transform.is_identity
    control = read_control_points(dataset)
    if control is not None and placed:
        control = replace(control, points=()) if control.rpcs is not None else None
    grid = GeoGrid(
        (dataset.crs or None) if placed else None, dataset.transform, dataset.height, dataset.width, control
    ).placed(crs, gsd, name)
    if not placed and grid.control is not None and grid.control.points:
        fit = grid.control.fitted()
        if fit is not None and fit[1] <= EXACT and grid.control.crs is not None:
            grid = replace(grid, crs=grid.control.crs, transform=fit[0], control=None)
            notes.append(f"{name} lies by ground control points (GCPs), which are one exact grid: it is used")
    if grid.crs is None and grid.control is not None:
        notes.append(f"{name} lies by {grid.control.kind}: the map carries the same")
    elif grid.crs is None and not placed and dataset.crs:
        notes.append(f"{name} names a CRS but no transform, so its place is unknown, and so is the map's")
    elif grid.crs is None:
        notes.append(f"{name} has no CRS, and neither has its map")
    grid.check(name)
    return grid


def reject_container(dataset: rasterio.DatasetReader, name: str) -> None:
    """Refuse a file whose rasters are all in subdatasets.

    Raises:
        ImageError: It has no bands of its own.
    """
    if dataset.count:
        return
    inside = dataset.subdatasets
    if not inside:
        raise ImageError(f"{name} holds no bands")
    listed = ", ".join(inside[:SUBDATASETS]) + (
        f" and {len(inside) - SUBDATASETS} more" if len(inside) > SUBDATASETS else ""
    )
    raise ImageError(f"{name} holds several rasters: {listed}", hint=f"name one of them, such as {inside[0]}")
