"""Training pairs cut from an orthophoto and a map of the same ground."""

from __future__ import annotations

import csv
import io
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.data.beside import PALETTE_NAME
from sat2map.errors import DataError, OutputError, SettingsError
from sat2map.files import atomic_write_text, locks, require_new_folder
from sat2map.geo.area_of_interest import AreaOfInterest, Clip
from sat2map.geo.block_split import BlockSplit
from sat2map.geo.draw import VectorMap
from sat2map.geo.find_source import find_source
from sat2map.geo.gdal import gdal_env
from sat2map.geo.grid import GeoGrid
from sat2map.geo.read import Raster, open_raster
from sat2map.geo.sources import Place
from sat2map.geo.style import load_style
from sat2map.geo.target import Target, open_target
from sat2map.geo.write import tags_of
from sat2map.images.palette import Palette
from sat2map.images.pixels import write_image
from sat2map.inference.tiling import Area

MIN_VALID = 0.1  # share of a tile's pixels that must be valid
ANYWHERE = Place()
EMPTY = 0.99  # share of one colour from which on a map shows nothing


@dataclass(frozen=True)
class PairOptions:
    """How to cut.

    Attributes:
        size: Side of a tile (px).
        stride: From one tile to the next (px).
        resolution: Metres a pixel; None: the orthophoto's.
        bands: Bands of the orthophoto; None: red, green, blue.
        scale: Limits of other than 8-bit bands.
        val_fraction: Share of the blocks that go to val, 0 for none.
        block: Side of the blocks of ground that are never split (px).
        buffer: Least distance between a train and a val tile (px).
        seed: Seed of the choice of blocks.
        place: Which part of the orthophoto; None: all of it.
        aoi: Vector file with polygons: what lies outside of them is left out.
    """

    size: int = 256
    stride: int = 256
    resolution: float | None = None
    bands: tuple[int, ...] | None = None
    scale: tuple[float, ...] | None = None
    val_fraction: float = 0.15
    block: int = 1024
    buffer: int = 64
    seed: int = 0
    place: Place = ANYWHERE
    aoi: Path | None = None


@dataclass
class PairsResult:
    """What was cut.

    Attributes:
        train: Pairs to train on.
        val: Pairs to validate on.
        partial: How many of the tiles that were cut are valid in part only: the rest of them is transparent.
        nodata: Tiles left out as (almost) no pixel is valid.
        empty: Tiles left out as the map shows nothing.
        border: Tiles left out between train and val.
        notes: What a user should know.
    """

    train: int = 0
    val: int = 0
    partial: int = 0
    nodata: int = 0
    empty: int = 0
    border: int = 0
    notes: list[str] = field(default_factory=list)


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
    unfinished = output.with_name(f".{output.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        place, area = options.place, AreaOfInterest.read(options.aoi) if options.aoi else None
        if area is not None:
            place = replace(place, bbox=area.bbox, bbox_crs=area.crs.to_wkt())
        with (
            gdal_env(),
            open_raster(
                find_source(source, place, cut=True), bands=options.bands, count=3, scale=options.scale
            ) as whole,
        ):
            factors = _factors(whole, options.resolution)
            with whole.resampled(*factors) if factors else nullcontext(whole) as raster:
                result = PairsResult(notes=whole.notes)
                with _open_target(raster.grid, target, vectors, style, result.notes) as (
                    read_target,
                    palette,
                ):
                    for text in result.notes:
                        note(text)
                    clip = area.on(raster.grid) if area else None
                    _cut(raster, read_target, unfinished, options, result, progress, clip)
                if palette is not None:
                    palette.save(unfinished / PALETTE_NAME)
        if output.exists():
            output.rmdir()
        unfinished.rename(output)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
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


@contextmanager
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


def _cut(
    raster: Raster,
    read_target: Target,
    folder: Path,
    options: PairOptions,
    result: PairsResult,
    progress: Callable[[int, int], None],
    clip: Clip | None,
) -> None:
    size, grid = options.size, raster.grid
    places = [
        Area(top, left, top + size, left + size)
        for top in range(0, grid.height - size + 1, options.stride)
        for left in range(0, grid.width - size + 1, options.stride)
    ]
    if not places:
        raise DataError(
            f"{raster.name} is {grid.width}×{grid.height} px at this resolution: smaller than one tile"
        )
    split = BlockSplit(options.block, options.buffer, options.val_fraction, options.seed)
    split.check(grid.height, grid.width)
    usable: list[Area] = []
    for number, area in enumerate(places):
        progress(number, len(places))
        there = np.ones((size, size), bool) if clip is None else clip.mask(grid.part(area)) > 0
        if there.mean() >= MIN_VALID:
            there &= raster.read_mask(area) > 0
        if there.mean() < MIN_VALID:
            result.nodata += 1
            continue
        drawn, in_map = read_target(area)
        there &= in_map
        if there.mean() < MIN_VALID:
            result.nodata += 1
        elif _is_empty(drawn, there):
            result.empty += 1
        else:
            usable.append(area)
            result.partial += not there.all()
            _write_tile(folder, _name(area), raster.read(area), drawn, there)
    progress(len(places), len(places))
    _sort_into_splits(usable, split, grid, folder, result)
    if not result.train:
        raise DataError(
            f"no pair could be cut: of {len(places)} tiles, {result.nodata} have nodata, {result.empty} are "
            f"empty and {result.border} lie between train and val",
            hint="use smaller tiles, blocks or buffers",
            setting="size",
        )
    if result.partial:
        result.notes.append(
            f"{result.partial} tiles are valid in part only: the rest of their targets is transparent, and "
            "palette networks ignore it"
        )
    if options.val_fraction and not result.val:
        result.notes.append("no tile lies in the blocks for val: use smaller blocks, or another seed")


def _sort_into_splits(
    tiles: list[Area], split: BlockSplit, grid: GeoGrid, folder: Path, result: PairsResult
) -> None:
    """Move the tiles into train and val, remove those between, and list the others."""
    rows: list[dict[str, str]] = []
    for area, chosen in zip(tiles, split.splits(tiles), strict=True):
        for side in ("source", "target"):
            file = folder / side / _name(area)
            if chosen is None:
                file.unlink()
            else:
                (folder / chosen / side).mkdir(parents=True, exist_ok=True)
                file.rename(folder / chosen / side / file.name)
        if chosen is None:
            result.border += 1
        else:
            rows.append(_row(chosen, area, split.block_of(area), grid))
    result.train, result.val = (sum(row["split"] == name for row in rows) for name in ("train", "val"))
    if rows:
        for side in ("source", "target"):
            (folder / side).rmdir()
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        atomic_write_text(folder / "pairs.csv", text.getvalue())


def _name(area: Area) -> str:
    return f"{area.top:06d}_{area.left:06d}.png"


def _row(split: str, area: Area, block: tuple[int, int], grid: GeoGrid) -> dict[str, str]:
    bounds = grid.part(area).bounds()
    edges = zip(("left", "bottom", "right", "top"), bounds, strict=True)
    return {
        "source": f"{split}/source/{_name(area)}",
        "target": f"{split}/target/{_name(area)}",
        "split": split,
        "block": f"{block[0]}-{block[1]}",
        **{edge: f"{value:.10g}" for edge, value in edges},
        "crs": grid.crs.to_string() if grid.crs else "",
        "gsd": _gsd(grid),
    }


def _gsd(grid: GeoGrid) -> str:
    """Return the metres per pixel in the middle of the raster; "" where they are unknown."""
    metres = grid.metres()
    return f"{math.sqrt(metres[0] * metres[1]):.6g}" if metres else ""


def _write_tile(
    folder: Path,
    name: str,
    source: NDArray[np.uint8],
    target: NDArray[np.uint8],
    valid: NDArray[np.bool_],
) -> None:
    """Write both sides of a pair; where pixels are not valid, the target is transparent.

    What lies below is plausible, for readers that know no transparency: the mean colour of the source, the
    most frequent one of the target.
    """
    alpha = None
    if not valid.all():
        alpha = np.where(valid, np.uint8(255), np.uint8(0))
        mean = source[:, valid].mean(axis=1).round().astype(np.uint8)
        source = np.where(valid, source, mean[:, None, None])
        colours, counts = np.unique(target[:, valid], axis=1, return_counts=True)
        target = np.where(valid, target, colours[:, counts.argmax()][:, None, None])
    write_image(folder / "source" / name, np.moveaxis(source, 0, -1))
    write_image(folder / "target" / name, np.moveaxis(target, 0, -1), alpha)


def _is_empty(drawn: NDArray[np.uint8], valid: NDArray[np.bool_]) -> bool:
    packed = sum(band[valid].astype(np.int32) << 8 * number for number, band in enumerate(drawn))
    _, counts = np.unique(packed, return_counts=True)
    return bool(counts.max() >= EMPTY * counts.sum())
