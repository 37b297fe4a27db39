"""The tiles of training pairs: which are worth keeping, in which split each is, and their files."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import DataError
from sat2map.geo.area_of_interest import Clip
from sat2map.geo.block_split import BlockSplit
from sat2map.geo.grid import GeoGrid
from sat2map.geo.raster import Raster
from sat2map.geo.sources import Place
from sat2map.geo.strips import fill_nodata
from sat2map.geo.target import Target
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


def cut_tiles(
    raster: Raster,
    read_target: Target,
    folder: Path,
    options: PairOptions,
    result: PairsResult,
    progress: Callable[[int, int], None],
    clip: Clip | None,
) -> None:
    """Cut all tiles of a raster and its map that show something into a new folder, listed in `pairs.csv`.

    The raster has the resolution of the pairs, and `read_target` gives the map on its grid; `result` gets the
    counts.

    Raises:
        SettingsError: The raster is one block.
        DataError: No pair could be cut.
    """
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
        with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as table:
            writer = csv.DictWriter(table, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _name(area: Area) -> str:
    return f"{area.top:06d}_{area.left:06d}.png"


def _row(split: str, area: Area, block: tuple[int, int], grid: GeoGrid) -> dict[str, str]:
    edges = zip(("left", "bottom", "right", "top"), grid.part(area).bounds(), strict=True)
    side = grid.mean_metres()
    return {
        "source": f"{split}/source/{_name(area)}",
        "target": f"{split}/target/{_name(area)}",
        "split": split,
        "block": f"{block[0]}-{block[1]}",
        **{edge: f"{value:.10g}" for edge, value in edges},
        "crs": grid.crs.to_string() if grid.crs else "",
        "gsd": f"{side:.6g}" if side else "",
    }


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
        source = fill_nodata(source, alpha)
        colours, counts = np.unique(target[:, valid], axis=1, return_counts=True)
        target = np.where(valid, target, colours[:, counts.argmax()][:, None, None])
    write_image(folder / "source" / name, np.moveaxis(source, 0, -1))
    write_image(folder / "target" / name, np.moveaxis(target, 0, -1), alpha)


def _is_empty(drawn: NDArray[np.uint8], valid: NDArray[np.bool_]) -> bool:
    packed = sum(band[valid].astype(np.int32) << 8 * number for number, band in enumerate(drawn))
    _, counts = np.unique(packed, return_counts=True)
    return bool(counts.max() >= EMPTY * counts.sum())
