"""The commands for data sets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import tyro

from sat2map.cli.terminal import numbers, print_notes, unit_bar
from sat2map.extras import require_geo


def data_check(
    data: tyro.conf.Positional[Path], *, group_column: str | None = None, workers: int = 0
) -> None:
    """Look for what is wrong with a data set; changes nothing, exits 1 when something is.

    Args:
        data: Folder or CSV of pairs.
        group_column: CSV column of places.
        workers: Threads that decode; 0: one a core.
    """
    from rich.console import Console
    from rich.progress import Progress

    from sat2map.data.check.validate import check, print_result

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("looking")
        result = check(
            data,
            group_column=group_column,
            workers=workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print_result(result, Console())
    if not result.ok:
        sys.exit(1)


def data_synth(
    folder: tyro.conf.Positional[Path],
    *,
    count: int = 200,
    size: int = 256,
    seed: int = 0,
    val_fraction: float = 0.2,
    layout: Literal["side-by-side", "folders"] = "side-by-side",
    georeferenced: bool = False,
) -> None:
    """Draw synthetic towns: pairs of an aerial picture and its map.

    Args:
        folder: Where to.
        count: How many pairs.
        size: Side of each picture (px).
        seed: Seed of the drawing.
        val_fraction: Share of the pairs that go to val/.
        layout: One file a pair, or a folder a side.
        georeferenced: Draw GeoTIFFs that lie somewhere instead: an orthophoto and its map.
    """
    if georeferenced:
        _draw_scenes(folder, count=count, size=size, seed=seed)
        return
    from sat2map.synthetic.towns import write_towns

    written = write_towns(folder, count=count, size=size, seed=seed, val_fraction=val_fraction, layout=layout)
    print(f"{count} pairs ({len(written)} files) drawn in {folder}")


def data_palette(
    data: tyro.conf.Positional[Path], *, output: Path = Path("palette.json"), split: str = "train"
) -> None:
    """Learn the palette of a data set's maps: their flat colours, a class each, to name and merge.

    Args:
        data: Folder or CSV of pairs.
        output: Where to; an existing file is kept.
        split: Split whose targets are looked at.
    """
    from sat2map.data.pairs import find_pairs, read_pair
    from sat2map.errors import OutputError
    from sat2map.images.palette import learn_palette

    if output.exists():
        raise OutputError(f"{output} exists: give --output another name")
    pairs = find_pairs(data)[split]
    palette = learn_palette((read_pair(pair)[1] for pair in pairs), name=output.stem)
    palette.save(output)
    for map_class in palette.classes:
        print(f"{map_class.name:<16} {', '.join(str(colour) for colour in map_class.colours)}")
    print(
        f"written to {output}: name the classes and merge shades of one, then train with --palette {output}"
    )


def data_download(
    name: tyro.conf.Positional[Literal["maps", "facades", "cityscapes"]],
    folder: tyro.conf.Positional[Path | None] = None,
    *,
    mirror: str | None = None,
    sha256: str | None = None,
) -> None:
    """Fetch a paired data set of the pix2pix paper; a download that broke off goes on where it was.

    Args:
        name: Which.
        folder: Where to; none: a folder of its name.
        mirror: Address of a folder with NAME.tar.gz; none: $SAT2MAP_MIRROR, or the official one.
        sha256: Checksum that the archive must have.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from sat2map.data.download import download

    console = Console(stderr=True)
    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("fetching", total=None)
        done = download(
            name,
            folder or Path(name),
            mirror=mirror,
            sha256=sha256,
            progress=lambda have, total: bar.update(task, completed=have, total=total),
        )
    print(f"{done.images} images in {done.folder}, from {done.url}")
    print(f"archive:     {done.size / 1e6:.1f} MB, SHA-256 {done.sha256}")
    print(f"next:        sat2map data check {done.folder}")


def data_pack(
    data: tyro.conf.Positional[Path],
    *,
    shards: Path,
    pairs_a_shard: int = 512,
    base: str = "",
    group_column: str | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
) -> None:
    """Pack a data set into tar shards, for training from a server or on more than the disk holds.

    Args:
        data: Folder or CSV of pairs.
        shards: New folder for the shards and their index; train with --data FOLDER.
        pairs_a_shard: Pairs in a tar file.
        base: Address that the shards will be served from, such as https://data.example.org/towns or s3://towns;
            none: they stay beside the index.
        group_column: CSV column of places; a val split made here never cuts one apart.
        val_fraction: Share of the pairs that go to val where there is no such split.
        seed: Seed of the order and of the split.
    """
    from sat2map.data.shards import pack

    index = pack(
        data,
        shards,
        group_column=group_column,
        val_fraction=val_fraction,
        seed=seed,
        pairs_a_shard=pairs_a_shard,
        base=base,
    )
    for split, files in index.splits.items():
        print(f"{split + ':':<7} {sum(file.count for file in files)} pairs in {len(files)} shards")
    print(f"next:   sat2map train --data {shards}")


def data_from_rasters(
    *,
    source: str,
    output: Path,
    target: str | None = None,
    vectors: Path | None = None,
    style: Path | None = None,
    size: int = 256,
    stride: int | None = None,
    resolution: float | None = None,
    bands: str | None = None,
    scale: str | None = None,
    val_fraction: float = 0.15,
    block: int | None = None,
    buffer: int | None = None,
    seed: int = 0,
) -> None:
    """Cut pairs to train on from an orthophoto and a map, or vectors drawn in a style.

    Args:
        source: The orthophoto: whatever GDAL reads.
        output: A new folder for the pairs.
        target: The map of the same ground, in any CRS.
        vectors: Vectors of it instead: .gpkg, .geojson, .osm.pbf, .osm, .shp.
        style: TOML file that says how vectors are drawn; none: the web style that comes with the package.
        size: Side of a tile (px).
        stride: From one tile to the next (px); none: the size.
        resolution: Metres a pixel of the tiles; none: those of the orthophoto.
        bands: Bands of the orthophoto, such as 1,2,3.
        scale: Lowest and highest value of other than 8-bit bands.
        val_fraction: Share of the ground that goes to val/.
        block: Side of the blocks of ground that go to train or val as a whole (px); none: four tiles.
        buffer: Least distance of train and val tiles (px); none: a quarter of a tile.
        seed: Seed of the choice of blocks.
    """
    require_geo("data from-rasters")
    from sat2map.geo.dataset import PairOptions, write_pairs

    options = PairOptions(
        size=size,
        stride=size if stride is None else stride,
        resolution=resolution,
        bands=numbers(bands, int, "--bands", "1,2,3"),
        scale=numbers(scale, float, "--scale", "0,3000"),
        val_fraction=val_fraction,
        block=4 * size if block is None else block,
        buffer=size // 4 if buffer is None else buffer,
        seed=seed,
    )
    with unit_bar("tiles") as bar:
        task = bar.add_task(Path(source).name)
        result = write_pairs(
            source,
            output,
            options,
            target=target,
            vectors=vectors,
            style=style,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print_notes(result.notes)
    print(f"{result.train} pairs to train on and {result.val} to validate on, in {output}")
    print(
        f"left out: {result.nodata} with nodata, {result.empty} empty, {result.border} between train and val"
    )
    print(f"next: sat2map data check {output}")


def _draw_scenes(folder: Path, *, count: int, size: int, seed: int) -> None:
    """Draw towns that lie somewhere: NAME-ortho.tif and NAME-map.tif, on the same UTM grid.

    Args:
        folder: Where to.
        count: How many.
        size: Side of each (px).
        seed: Seed of the drawing.
    """
    require_geo("data synth --georeferenced")
    from sat2map.geo.scenes import write_scenes

    written = write_scenes(folder, count=count, size=size, seed=seed)
    print(f"{count} scenes ({len(written)} files) drawn in {folder}")
