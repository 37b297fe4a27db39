"""Reading where a raster lies: by a CRS and a transform, by control points, or as the user says."""

from __future__ import annotations

import math
from dataclasses import replace

import rasterio
from rasterio.crs import CRS

from sat2map.errors import ImageError, SettingsError
from sat2map.geo.control_points import EXACT, read_control_points
from sat2map.geo.crs import parse_crs
from sat2map.geo.grid import GeoGrid

_PIXEL = (1e-3, 1e7)  # m; smaller or larger pixels come from a CRS that does not belong to the coordinates
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
    is_placed = not dataset.transform.is_identity
    control = read_control_points(dataset)
    if control is not None and is_placed:
        control = replace(control, points=()) if control.rpcs is not None else None
    known_crs = (dataset.crs or None) if is_placed else None
    grid = GeoGrid(known_crs, dataset.transform, dataset.height, dataset.width, control)
    grid = placed(grid, crs, gsd, name)
    if not is_placed and grid.control is not None and grid.control.points:
        fit = grid.control.fitted()
        if fit is not None and fit[1] <= EXACT and grid.control.crs is not None:
            grid = replace(grid, crs=grid.control.crs, transform=fit[0], control=None)
            notes.append(f"{name} lies by ground control points (GCPs), which are one exact grid: it is used")
    if grid.crs is None and grid.control is not None:
        notes.append(f"{name} lies by {grid.control.kind}: the map carries the same")
    elif grid.crs is None and not is_placed and dataset.crs:
        notes.append(f"{name} names a CRS but no transform, so its place is unknown, and so is the map's")
    elif grid.crs is None:
        notes.append(f"{name} has no CRS, and neither has its map")
    check_grid(grid, name)
    return grid


def placed(grid: GeoGrid, crs: str | None, gsd: float | None, name: str) -> GeoGrid:
    """Return the grid with a CRS or a gsd that the user gives.

    Raises:
        SettingsError: The CRS is unknown, or the raster cannot take it.
    """
    if gsd is not None and not 0 < gsd < math.inf:
        raise SettingsError(f"gsd is {gsd:g}, but metres per pixel are more than 0", setting="gsd")
    if crs is None and gsd is None:
        return grid
    if crs is None and grid.crs is not None:
        raise SettingsError(
            f"{name} has a CRS, which says its metres per pixel",
            hint="leave out the gsd, or set a resolution",
            setting="gsd",
        )
    if crs is None:
        return replace(grid, gsd=gsd)
    known = parse_crs(crs, "crs")
    if grid.transform.is_identity and grid.control is None:
        raise SettingsError(
            f"{name} has no geotransform, so a CRS gives it no place",
            hint="give the metres per pixel instead, or a world file beside it",
            setting="gsd",
        )
    if grid.control is not None:
        return replace(grid, control=replace(grid.control, crs=CRS.from_wkt(known.to_wkt())))
    return replace(grid, crs=CRS.from_wkt(known.to_wkt()), gsd=None)


def check_grid(grid: GeoGrid, name: str) -> None:
    """Refuse a place that cannot be right, before any work.

    Raises:
        ImageError: The transform is singular, the coordinates lie nowhere in the CRS, or pixels have an
            impossible size.
    """
    if not all(map(math.isfinite, grid.transform[:6])) or not grid.transform.determinant:
        numbers = ", ".join(f"{value:g}" for value in grid.transform[:6])
        raise ImageError(
            f"{name} has a geotransform that cannot be inverted ({numbers})",
            hint="write its georeference again, with gdal_edit or gdal_translate -a_ullr",
        )
    crs = grid.proj_crs
    if crs is None:
        return
    left, bottom, right, top = grid.bounds()
    if crs.is_geographic and (bottom < -90.5 or top > 90.5 or right - left > 361 or abs(left) > 720):
        raise ImageError(
            f"{name} reaches from {left:.6g} to {right:.6g} degrees of longitude and {bottom:.6g} to "
            f"{top:.6g} of latitude, which is not on a globe",
            hint=f"its CRS is probably not {grid.crs}; give it the right one",
            setting="crs",
        )
    metres = grid.metres()
    if metres is None and grid.on_earth:
        raise ImageError(
            f"{name} lies nowhere in {grid.crs}: left, bottom, right, top are "
            + ", ".join(f"{edge:.8g}" for edge in (left, bottom, right, top)),
            hint="its CRS is probably another one; give it the right one",
            setting="crs",
        )
    if metres is not None and not _PIXEL[0] <= math.sqrt(metres[0] * metres[1]) <= _PIXEL[1]:
        raise ImageError(
            f"{name} has pixels of {metres[0]:.3g} × {metres[1]:.3g} m, which cannot be right",
            hint=f"its CRS is probably not {grid.crs}; give it the right one",
            setting="crs",
        )


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
