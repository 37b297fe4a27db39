"""Neighbouring sheets: rasters cut from one large image, each translated with its neighbours around it.

Sheets of one CRS, pixel size and kind that touch are put onto one grid. A sheet is then a window of it, so
that the network's tiles lie where they lie for the whole, and the maps of two sheets join without a step.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.enums import MaskFlags
from rasterio.io import MemoryFile
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sat2map.bulk.tasks import Neighbourhood, Sheet
from sat2map.geo.georeference import read_grid
from sat2map.geo.vrt import Vrt
from sat2map.images.masks import has_mask_band
from sat2map.images.vrt import plain_vrt
from sat2map.inference.tiling import Area

MAX_SHARED = 0.25  # of the smaller of two sheets; with more in common they are two images of one place
ALIGNED = 0.01  # px by which a sheet may lie off its neighbours' grid


@dataclass(frozen=True)
class SheetInfo:
    """What planning needs to know of a raster that may be a sheet.

    Its `kind` is the same in all sheets of an image: CRS, pixel size, bands and mask.
    """

    source: str
    kind: str
    transform: Affine
    width: int
    height: int
    metres: tuple[float, float] | None


def look_at(dataset: rasterio.DatasetReader, source: str) -> SheetInfo | None:
    """Return what is known of a raster, or None where it has no exact place or its samples are packed."""
    if (
        plain_vrt(dataset) is not None
        or len({*dataset.dtypes}) != 1
        or len({*map(repr, dataset.nodatavals)}) != 1
    ):
        return None
    grid = read_grid(dataset, source, [])
    if grid.crs is None or grid.control is not None:
        return None
    t = grid.transform
    kind = (
        grid.crs.to_wkt(),
        [f"{value:.12g}" for value in (t.a, t.b, t.d, t.e)],
        dataset.dtypes[0],
        [repr(value) for value in dataset.nodatavals],
        [meaning.name for meaning in dataset.colorinterp],
        [flag.name for flag in dataset.mask_flag_enums[0]],
    )
    return SheetInfo(source, json.dumps(kind), t, dataset.width, dataset.height, grid.metres())


def find_neighbourhoods(
    infos: Sequence[SheetInfo], reach: Callable[[SheetInfo], int]
) -> list[dict[str, Neighbourhood]]:
    """Return the neighbourhoods of sheets that have neighbours, by their sources: a dictionary an image.

    Args:
        infos: All rasters, in an order that depends on the inputs alone.
        reach: How far around a sheet the network looks (px of it).
    """
    by_kind: dict[str, list[SheetInfo]] = {}
    for info in infos:
        by_kind.setdefault(info.kind, []).append(info)
    found = []
    for alike in by_kind.values():
        for group in _touching(_placed(alike)):
            # The grid begins at the first column and row of the whole image.
            left, top = min(sheet.column for sheet in group), min(sheet.row for sheet in group)
            moved = [sheet._replace(column=sheet.column - left, row=sheet.row - top) for sheet in group]
            info = next(info for info in alike if info.source == group[0].source)
            found.append(_neighbourhoods(moved, reach(info)))
    return found


def _placed(alike: Sequence[SheetInfo]) -> list[Sheet]:
    """Return the sheets on the grid of the first of them; what lies between its pixels is left out."""
    sheets = []
    to_pixels = ~alike[0].transform
    for info in alike:
        column, row = to_pixels @ (info.transform.c, info.transform.f)
        if max(abs(column - round(column)), abs(row - round(row))) <= ALIGNED:
            sheets.append(Sheet(info.source, round(column), round(row), info.width, info.height))
    return sheets


def _touching(sheets: Sequence[Sheet]) -> list[list[Sheet]]:
    """Return groups of two sheets or more that hang together."""
    boxes = np.array([_box(sheet) for sheet in sheets], object)
    first, second = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    common = shapely.area(shapely.intersection(boxes[first], boxes[second]))
    smaller = np.minimum(shapely.area(boxes[first]), shapely.area(boxes[second]))
    linked = common <= MAX_SHARED * smaller
    links = coo_array((linked[linked], (first[linked], second[linked])), shape=(len(boxes),) * 2)
    _, group_of = connected_components(links, directed=False)
    members: dict[int, list[Sheet]] = {}
    for number, sheet in enumerate(sheets):
        members.setdefault(group_of[number], []).append(sheet)
    return [group for group in members.values() if len(group) > 1]


def _neighbourhoods(group: Sequence[Sheet], reach: int) -> dict[str, Neighbourhood]:
    width = max(sheet.column + sheet.width for sheet in group)
    height = max(sheet.row + sheet.height for sheet in group)
    boxes = [_box(sheet) for sheet in group]
    tree = shapely.STRtree(boxes)
    found = {}
    for number, sheet in enumerate(group):
        seen = boxes[number].buffer(reach, join_style="mitre").intersection(shapely.box(0, 0, width, height))
        near = sorted(tree.query(seen, predicate="intersects").tolist())
        sheets = (*(group[i] for i in near if i != number), sheet)
        cover = shapely.union_all([boxes[i] for i in near])
        found[sheet.source] = Neighbourhood(width, height, sheets, bool(cover.covers(seen)))
    return found


def _box(sheet: Sheet) -> Any:
    return shapely.box(sheet.column, sheet.row, sheet.column + sheet.width, sheet.row + sheet.height)


def _stat(sheet: Sheet) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return Path(sheet.source).stat()
    return None


@contextlib.contextmanager
def open_neighbourhood(around: Neighbourhood) -> Iterator[str]:
    """Yield GDAL's name of a virtual raster of the common grid, in which the sheet and its neighbours lie.

    Its last part is that of the sheet, so that a map's tags name this. The same files get the same name.
    """
    own = around.own
    with rasterio.open(own.source) as dataset:
        vrt = Vrt(
            read_grid(dataset, own.source, []).extended(own.column, own.row, around.width, around.height),
            [meaning.name.capitalize() for meaning in dataset.colorinterp],
            dtype=dataset.dtypes[0],
            nodata=dataset.nodata,
            # Where no sheet is, nothing is to be seen: without any mask it would be black ground.
            mask=has_mask_band(dataset)
            or (not around.whole and MaskFlags.all_valid in dataset.mask_flag_enums[0]),
        )
    for sheet in around.sheets:
        area = Area(sheet.row, sheet.column, sheet.row + sheet.height, sheet.column + sheet.width)
        vrt.add_file(sheet.source, area, relative=False)
    xml = vrt.to_bytes()
    stamps = [(s.st_size, s.st_mtime_ns) for s in map(_stat, around.sheets) if s is not None]
    folder = hashlib.blake2b(xml + repr(stamps).encode(), digest_size=8).hexdigest()
    name = PurePosixPath(own.source.replace("\\", "/").split("?")[0]).name
    with MemoryFile(xml, dirname=folder, filename=name) as memory:
        yield memory.name
