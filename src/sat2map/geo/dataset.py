"""Training pairs cut from an orthophoto and a map of the same ground."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from sat2map.data.beside import PALETTE_NAME
from sat2map.errors import SettingsError
from sat2map.files import atomic_folder, locks, require_new_folder
from sat2map.geo.area_of_interest import AreaOfInterest
from sat2map.geo.draw import VectorMap
from sat2map.geo.find_source import find_source
from sat2map.geo.gdal import gdal_env
from sat2map.geo.grid import GeoGrid
from sat2map.geo.pair_tiles import PairOptions, PairsResult, cut_tiles
from sat2map.geo.raster import Raster
from sat2map.geo.read import open_raster
from sat2map.geo.style import load_style
from sat2map.geo.target import Target, open_target
from sat2map.geo.write import tags_of
from sat2map.images.palette import Palette

__all__ = ["PairOptions", "PairsResult", "write_pairs"]


@locks("output")
def write_pairs(
    source: str | Path,
    output: Path,
    options: PairOptions,
    *,
    target: str | Path | None = None,
    vectors: Path | None = None,
    style: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    note: Callable[[str], None] = lambda text: None,
) -> PairsResult:
    """Cut aligned tiles into `output/{train,val}/{source,target}`, and list them in `output/pairs.csv`.

    `output/palette.json` gets the classes of the style, or those of a map that sat2map drew.

    The ground is divided into blocks, each of which is for train or for val as a whole; tiles nearer than
    half the buffer to ground of the other split are left out. So no validation tile shows ground that was
    trained on.

    Args:
        source: The orthophoto: whatever `find_source` takes.
        output: A new folder.
        options: How to cut.
        target: The map as a raster, on any grid and in any CRS.
        vectors: The map as vectors, in its place.
        style: TOML file that says how to draw them; None: the web style.
        progress: Called with tiles done and tiles in all.
        note: Called before the tiles are cut with each thing that a user should know.

    Raises:
        SettingsError: An option does not fit.
        DataError: A file cannot be used, or no pair could be cut.
        OutputError: The folder exists, or cannot be written.
    """
    _check(options, target, vectors)
    require_new_folder(output)
    place, area = options.place, AreaOfInterest.read(options.aoi) if options.aoi else None
    if area is not None:
        place = replace(place, bbox=area.bbox, bbox_crs=area.crs.to_wkt())
    with contextlib.ExitStack() as stack:
        unfinished = stack.enter_context(atomic_folder(output))
        stack.enter_context(gdal_env())
        found = find_source(source, place, cut=True)
        whole = stack.enter_context(open_raster(found, bands=options.bands, count=3, scale=options.scale))
        factors = _factors(whole, options.resolution)
        raster = stack.enter_context(whole.resampled(*factors)) if factors else whole
        result = PairsResult(notes=whole.notes)
        map_of_grid = _open_target(raster.grid, target, vectors, style, result.notes)
        read_target, palette = stack.enter_context(map_of_grid)
        for text in result.notes:
            note(text)
        clip = area.on(raster.grid) if area else None
        cut_tiles(raster, read_target, unfinished, options, result, progress, clip)
        if palette is not None:
            palette.save(unfinished / PALETTE_NAME)
    return result


def _check(options: PairOptions, target: str | Path | None, vectors: Path | None) -> None:
    if (target is None) == (vectors is None):
        raise SettingsError(
            "one map is needed", hint="give a target raster or vectors, not both", setting="target"
        )
    if options.aoi is not None and options.place.bbox is not None:
        raise SettingsError(
            "a box and an area of interest name the same thing twice", hint="give one of them", setting="aoi"
        )
    if options.size < 16 or options.stride < 1:
        raise SettingsError(
            f"size {options.size} and stride {options.stride}: a tile has 16 px or more, a stride 1"
        )
    if not 0 <= options.val_fraction < 1:
        raise SettingsError(
            f"val_fraction is {options.val_fraction}, but must be from 0 to below 1, such as 0.15"
        )
    if options.buffer < 0 or options.block < options.size + options.buffer:
        raise SettingsError(
            f"block {options.block} leaves no room for a tile of {options.size} px and a buffer of "
            f"{options.buffer} px",
            hint=f"use blocks of {4 * options.size} px or more",
            setting="block",
        )


def _factors(raster: Raster, resolution: float | None) -> tuple[float, float] | None:
    if resolution is None:
        return None
    metres = raster.grid.metres()
    if metres is None:
        raise SettingsError(
            f"{raster.name} has no CRS, so its resolution in metres is unknown",
            hint="keep its own resolution",
            setting="resolution",
        )
    return resolution / metres[0], resolution / metres[1]


@contextlib.contextmanager
def _open_target(
    grid: GeoGrid, target: str | Path | None, vectors: Path | None, style: Path | None, notes: list[str]
) -> Iterator[tuple[Target, Palette | None]]:
    """Yield a function that gives the map in a rectangle of the orthophoto's grid, and its classes."""
    if vectors is not None:
        chosen = load_style(style)
        palette = chosen.palette(style.stem if style else "web")
        drawn = VectorMap(vectors, chosen, grid)
        notes += drawn.notes
        yield (
            lambda area: (drawn.draw(grid.part(area)), np.ones((area.height, area.width), bool)),
            palette,
        )
        return
    assert target is not None
    with open_target(target, grid, notes) as read:
        text = tags_of(target).get("PALETTE")
        yield read, Palette.from_json(text, origin=f"the palette of {target}") if text else None
