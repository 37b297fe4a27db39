"""A raster as a reference: classes, colours of a palette or a mask, brought onto the grid of a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject
from rasterio.windows import Window

from sat2map.errors import DataError
from sat2map.geo.class_map import ClassMap, classify, palette_of
from sat2map.geo.georeference import read_grid
from sat2map.geo.grid import GeoGrid
from sat2map.geo.layers import NODATA
from sat2map.geo.reference_vectors import another_place
from sat2map.geo.write import tags_of
from sat2map.images.masks import reduced_shape
from sat2map.images.palette import Palette
from sat2map.images.side_by_side import palette_share

MAX_PIXELS = 2**30  # of a map, and of the part of a reference below it; both are held in memory
MIN_MAP_SHARE = 0.5  # of pixels in a palette's colours; photos have less, maps more
SAMPLE = 512  # px; side of the reduced copy that this is judged by
_MARGIN = 2  # px of the reference around the map


def check_is_map(path: Path, palette: Palette, setting: str) -> None:
    """Refuse an image whose colours are not those of a palette: a photo, or a map in another style.

    It has three bands of 8 bits; `setting` names its palette.

    Raises:
        DataError: Most of its pixels have other colours.
    """
    with rasterio.open(path) as dataset:
        shape = reduced_shape(dataset, SAMPLE)
        rgb = np.moveaxis(dataset.read((1, 2, 3), out_shape=(3, *shape)), 0, -1)
        there = dataset.dataset_mask(out_shape=shape) > 0
    share = palette_share(rgb[there][None], palette) if there.any() else 1.0
    if share < MIN_MAP_SHARE:
        raise DataError(
            f"{path} is no map in the colours of the palette '{palette.name}': {1 - share:.0%} of its pixels "
            "have others",
            hint="name its palette",
            setting=setting,
        )


def read_reference_raster(
    dataset: rasterio.DatasetReader,
    path: Path,
    found: ClassMap,
    map_class: str | None,
    palette: str | None,
    notes: list[str],
) -> NDArray[np.uint8]:
    """Return the class numbers of a reference on the grid of a map, uint8 (h, w); see `Reference.classes`.

    The arguments are those of `read_reference` and `ReferenceOptions`.

    Raises:
        DataError: It lies in another place, or does not say what it shows.
        SettingsError: There is no such palette.
    """
    if not dataset.count:
        raise DataError(f"{path} holds no bands")
    grid = read_grid(dataset, str(path), [])
    window = _window(grid, found.grid, path, notes)
    values = _read_classes(dataset, path, window, found, map_class, palette, notes)
    if grid.crs is None or found.grid.crs is None:
        return values
    return _on_grid(values, grid, window, found.grid)


def _window(grid: GeoGrid, on: GeoGrid, path: Path, notes: list[str]) -> Window:
    """Return the pixels of a reference that lie on the map's grid, and some around them."""
    if grid.crs is None or on.crs is None:
        if (grid.height, grid.width) != (on.height, on.width):
            which = path if grid.crs is None else "the map"
            raise DataError(
                f"{which} has no CRS, and {path} is {grid.width}×{grid.height} px, unlike the map of "
                f"{on.width}×{on.height}: they cannot be laid over each other",
                hint="give both a CRS",
            )
        notes.append(f"{path} and the map do not both have a CRS: they are compared pixel by pixel")
        return Window(0, 0, grid.width, grid.height)
    box, crs = on.bounds(), on.crs.to_wkt()
    area = grid.covering_box(box, crs) and grid.covering_box(box, crs, _MARGIN)
    if area is None:
        raise another_place(path)
    if area.width * area.height > MAX_PIXELS:
        raise DataError(
            f"{path} has {area.width * area.height / 1e6:,.0f} million px below the map, too many to "
            "hold in memory",
            hint="reduce it to the map's resolution first, with gdalwarp -r mode",
        )
    return Window(area.left, area.top, area.width, area.height)


def _read_classes(
    dataset: rasterio.DatasetReader,
    path: Path,
    window: Window,
    found: ClassMap,
    one: str | None,
    palette_name: str | None,
    notes: list[str],
) -> NDArray[np.uint8]:
    """Return class numbers of the map's palette in a window of the reference; of one class 1 and 0."""
    tags = tags_of(path)
    palette = palette_of(tags, palette_name) or found.palette
    if dataset.count >= 3 and dataset.dtypes[0] == "uint8":
        check_is_map(path, palette, "reference_palette")
        values = classify(dataset, palette, window)
    else:
        values = dataset.read(1, window=window)
        there = dataset.dataset_mask(window=window) > 0
        if tags.get("LAYER") != "classes":
            distinct = np.unique(values[there])
            if one is not None:
                return _mask(dataset, values, there, distinct, path, notes)
            if len(distinct) <= 2:
                raise DataError(
                    f"{path} shows {'two values' if len(distinct) == 2 else 'one value'} alone, so it may be "
                    "the mask of one class",
                    hint="name the class",
                    setting="map_class",
                )
            if values.dtype.kind not in "iu" or distinct.min() < 0 or distinct.max() >= len(palette.classes):
                raise DataError(
                    f"{path} has values from {distinct.min():g} to {distinct.max():g}, which are no classes "
                    f"of the palette '{palette.name}': those go from 0 to {len(palette.classes) - 1}",
                    hint="name its palette, or the one class that it shows",
                    setting="reference_palette",
                )
        values = np.where(there, values, NODATA).astype(np.uint8)
    numbers: NDArray[np.uint8] = _renumbered(palette, found.palette, path, notes)[values]
    if one is None:
        return numbers
    wanted: NDArray[np.uint8] = (numbers == found.palette.index(one)).astype(np.uint8)
    wanted[values == NODATA] = NODATA
    return wanted


def _mask(
    dataset: rasterio.DatasetReader,
    values: NDArray[Any],
    there: NDArray[np.bool_],
    distinct: NDArray[Any],
    path: Path,
    notes: list[str],
) -> NDArray[np.uint8]:
    if len(distinct) > 2:
        raise DataError(f"{path} has {len(distinct)} different values: it is no mask of one class")
    if dataset.nodata == 0:  # as many tools write masks: what is not the class is nodata
        notes.append(f"{path} marks 0 as nodata; it is taken for ground without the class")
        there = np.ones_like(there)
    return np.where(there, values != 0, np.uint8(NODATA)).astype(np.uint8)


def _renumbered(palette: Palette, wanted: Palette, path: Path, notes: list[str]) -> NDArray[np.uint8]:
    """Return a table from the numbers of a palette to those of another, by the classes' names."""
    table = np.full(256, NODATA, np.uint8)
    for number, name in enumerate(palette.names):
        if name in wanted.names:
            table[number] = wanted.index(name)
    unknown = [name for name in palette.names if name not in wanted.names]
    if len(unknown) == len(palette.names):
        raise DataError(
            f"{path} has the classes {', '.join(unknown)}, none of which the map has: it has "
            f"{', '.join(wanted.names)}"
        )
    if unknown:
        notes.append(
            f"the map has no class {' or '.join(unknown)}: ground that is so in {path} is not compared"
        )
    return table


def _on_grid(values: NDArray[np.uint8], grid: GeoGrid, window: Window, on: GeoGrid) -> NDArray[np.uint8]:
    here = grid.transform @ Affine.translation(window.col_off, window.row_off)
    if grid.crs == on.crs and here.almost_equals(on.transform) and values.shape == (on.height, on.width):
        return values
    metres, wanted = grid.metres(), on.metres()
    finer = metres is not None and wanted is not None and max(metres) < 0.9 * min(wanted)
    out = np.full((on.height, on.width), NODATA, np.uint8)
    reproject(
        values, out, src_transform=here, src_crs=grid.crs, src_nodata=NODATA, dst_transform=on.transform,
        dst_crs=on.crs, dst_nodata=NODATA, resampling=Resampling.mode if finer else Resampling.nearest,
    )  # fmt: skip
    return out
