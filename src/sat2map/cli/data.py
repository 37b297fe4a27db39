"""The commands for data sets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sat2map.cli.flags import (
    MAX_GSD,
    MIN_GSD,
    Bands,
    Count,
    Fraction,
    GroupColumn,
    Scale,
    Seed,
    Side,
    between,
    parse_numbers,
)
from sat2map.cli.terminal import counted, open_console, print_notes, progress_bar, say, unit_bar
from sat2map.extras import require_geo
from sat2map.settings import DataSetName, TownLayout

FINDINGS = 3  # exit code of `data check` where something is wrong with the data


def check(
    data: Path,
    /,
    *,
    group_column: GroupColumn = None,
    workers: Annotated[int, Parameter(validator=between(0, 1024))] = 0,
) -> None:
    """Look for what is wrong with a data set; changes nothing, and exits with 3 if something is.

    Args:
        data: Folder or CSV of pairs.
        workers: Threads that decode; 0: one per core.

    Examples:
        sat2map data check pairs
    """
    from sat2map.data.check.validate import check as validate
    from sat2map.data.check.validate import print_result

    with progress_bar("checking images") as progress:
        result = validate(data, group_column=group_column, workers=workers, progress=progress)
    print_result(result, open_console())
    if not result.ok:
        sys.exit(FINDINGS)


def synth(
    output: Path,
    *,
    count: Count = 200,
    size: Annotated[int, Parameter(validator=between(32, 8192))] = 256,
    seed: Seed = 0,
    val_fraction: Fraction = 0.2,
    layout: TownLayout = "side-by-side",
    gsd: Annotated[float, Parameter(validator=between(0.3, 4.2))] = 0.9,
    polygons: bool = False,
    georeferenced: bool = False,
) -> None:
    """Draw synthetic towns: pairs of an aerial image and its map.

    Args:
        output: Folder for the pairs.
        count: How many pairs.
        size: Side of each image (px).
        val_fraction: Share of the pairs that go to val/.
        layout: One file a pair, or a folder for each side.
        gsd: Ground sample distance (metres per pixel).
        polygons: Write the true outlines of all that the maps show, too, as GeoJSON.
        georeferenced: Draw georeferenced GeoTIFFs instead: an orthophoto and its map.

    Examples:
        sat2map data synth towns --count 50
    """
    if georeferenced:
        require_geo("data synth --georeferenced")
        from sat2map.geo.scenes import write_scenes

        with progress_bar("drawing scenes") as progress:
            written = write_scenes(output, count=count, size=size, seed=seed, gsd=gsd, progress=progress)
        say(f"{counted(count, 'scene')} ({counted(len(written), 'file')}) drawn in {output}")
        return
    from sat2map.synthetic.towns import write_towns

    with progress_bar("drawing towns") as progress:
        written = write_towns(
            output,
            count=count,
            size=size,
            seed=seed,
            val_fraction=val_fraction,
            layout=layout,
            gsd=gsd,
            polygons=polygons,
            progress=progress,
        )
    say(f"{counted(count, 'pair')} ({counted(len(written), 'file')}) drawn in {output}")


def palette(data: Path, /, *, output: Path = Path("palette.json"), split: str = "train") -> None:
    """Learn the palette of a data set's maps: its flat colours, a class each, to name and merge.

    Args:
        data: Folder or CSV of pairs.
        output: File to write; an existing one is kept.
        split: Split whose targets are read.

    Examples:
        sat2map data palette pairs --output mine.json
    """
    from sat2map.data.pairs import find_pairs
    from sat2map.data.read_pair import read_pair
    from sat2map.errors import OutputError
    from sat2map.files import lock_output
    from sat2map.images.palette.learn import learn_palette

    with lock_output(output):
        if output.exists():
            raise OutputError(f"{output} exists", hint="choose another name", setting="output")
        pairs = find_pairs(data)[split]
        learned = learn_palette((read_pair(pair)[1] for pair in pairs), name=output.stem)
        learned.save(output)
    for map_class in learned.classes:
        say(f"{map_class.name:<16} {', '.join(str(colour) for colour in map_class.colours)}")
    say(f"written to {output}: name the classes and merge shades of one, then train with --palette {output}")


def download(
    name: DataSetName, output: Path | None = None, *, mirror: str | None = None, sha256: str | None = None
) -> None:
    """Download a paired data set of the pix2pix paper; an interrupted download continues where it stopped.

    Args:
        name: Which data set.
        output: Folder for it; without it, a folder of its name.
        mirror: Address of a folder with NAME.tar.gz; without it, $SAT2MAP_MIRROR or the official one.
        sha256: Checksum that the archive must have.

    Examples:
        sat2map data download maps
    """
    folder = output or Path(name)
    _fetch(name, folder, mirror=mirror, sha256=sha256)
    say(f"next:        sat2map data check {folder}")


def download_if_named(data: Path) -> None:
    """Download a data set of the paper where `--data` has its name, and no file or folder has."""
    from sat2map.data.download import LICENSES

    if str(data) in LICENSES and not data.exists():
        say(f"there is no folder {data} here: the data set of that name is downloaded into it")
        _fetch(str(data), data)


def _fetch(name: str, folder: Path, *, mirror: str | None = None, sha256: str | None = None) -> None:
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    from sat2map.data.download import LICENSES
    from sat2map.data.download import download as fetch

    print_notes([f"{name}: {LICENSES[name]}"])
    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with progress_bar("downloading", *columns, transient=False) as update:
        done = fetch(name, folder, mirror=mirror, sha256=sha256, progress=update)  # type: ignore[arg-type]
    say(f"{counted(done.images, 'image')} in {done.folder}, from {done.url}")
    say(f"archive:     {done.size / 1e6:.1f} MB, SHA-256 {done.sha256}")


def pack(
    data: Path,
    /,
    *,
    output: Path,
    pairs_a_shard: Count = 512,
    base: str = "",
    group_column: GroupColumn = None,
    val_fraction: Fraction = 0.1,
    seed: Seed = 0,
) -> None:
    """Pack a data set into tar shards, to train from a server or on more than the disk holds.

    Args:
        data: Folder or CSV of pairs.
        output: New folder for the shards and their index; it can be trained on like any data.
        pairs_a_shard: Pairs in a tar file.
        base: Address that the shards will be served from, such as https://data.example.org/towns or
            s3://towns; without it, the index expects them beside itself.
        val_fraction: Share of the pairs that go to val if there is no such split.

    Examples:
        sat2map data pack pairs --output shards
    """
    from sat2map.data.shards import pack as write_shards

    index = write_shards(
        data,
        output,
        group_column=group_column,
        val_fraction=val_fraction,
        seed=seed,
        pairs_a_shard=pairs_a_shard,
        base=base,
    )
    for split, files in index.splits.items():
        pairs = sum(file.count for file in files)
        say(f"{split + ':':<7} {counted(pairs, 'pair')} in {counted(len(files), 'shard')}")
    say(f"next:   sat2map train --data {output}")


def from_rasters(
    *,
    source: str,
    output: Path,
    target: str | None = None,
    vectors: Path | None = None,
    style: Path | None = None,
    size: Side = 256,
    stride: Annotated[int | None, Parameter(validator=between(1, 65_536))] = None,
    resolution: Annotated[float | None, Parameter(validator=between(MIN_GSD, MAX_GSD))] = None,
    bands: Bands = None,
    scale: Scale = None,
    bbox: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    bbox_crs: str | None = None,
    aoi: Path | None = None,
    zoom: int | None = None,
    asset: str | None = None,
    val_fraction: Fraction = 0.15,
    block: Annotated[int | None, Parameter(validator=between(1, 10_000_000))] = None,
    buffer: Annotated[int | None, Parameter(validator=between(0, 10_000_000))] = None,
    seed: Seed = 0,
) -> None:
    """Cut training pairs from an orthophoto and a map, or vectors drawn in a style.

    Args:
        source: The orthophoto: whatever GDAL reads, a STAC item, or a service of tiles
            (https://host/{z}/{x}/{y}.jpg), a WMS or a WMTS.
        output: New folder for the pairs.
        target: Map raster of the same area, in any CRS.
        vectors: Vectors of the area instead: .gpkg, .geojson, .osm.pbf, .osm, .shp, .parquet, or a folder of
            Overture's GeoParquet files.
        style: TOML file that says how vectors are drawn, or web or overture, which come with the package;
            without it, web.
        size: Side of a tile (px).
        stride: Step from one tile to the next (px); without it, the size.
        resolution: Metres per pixel of the tiles; without it, those of the orthophoto.
        bbox: Part of the orthophoto: left, bottom, right, top.
        bbox_crs: CRS of the box; without it, the orthophoto's, and longitude and latitude for services.
        aoi: Vector file with polygons: only what lies in them is cut.
        zoom: Zoom level of a service's tiles.
        asset: Which asset of a STAC item.
        val_fraction: Share of the area that goes to val/.
        block: Side of the blocks that go to train or val as a whole (px); without it, four tiles.
        buffer: Least distance between train and val tiles (px); without it, a quarter of a tile.

    Examples:
        sat2map data from-rasters --source ortho.tif --target map.tif --output pairs
        sat2map data from-rasters --source ortho.tif --vectors town.osm.pbf --output pairs
    """
    require_geo("data from-rasters")
    from sat2map.geo.dataset import PairOptions, write_pairs
    from sat2map.geo.sources import Place

    box = parse_numbers(bbox, float, "bbox", "13.37,52.51,13.40,52.53 (left, bottom, right, top)", 4)
    options = PairOptions(
        size=size,
        stride=size if stride is None else stride,
        resolution=resolution,
        bands=parse_numbers(bands, int, "bands", "1,2,3"),
        scale=parse_numbers(scale, float, "scale", "0,3000"),
        val_fraction=val_fraction,
        block=4 * size if block is None else block,
        buffer=size // 4 if buffer is None else buffer,
        seed=seed,
        place=Place((box[0], box[1], box[2], box[3]) if box else None, bbox_crs, zoom, asset),
        aoi=aoi,
    )
    told: list[str] = []

    def note(text: str) -> None:
        told.append(text)
        print_notes([text])

    with unit_bar(Path(source).name, "tiles") as progress:
        result = write_pairs(
            source, output, options, target=target, vectors=vectors, style=style, progress=progress, note=note
        )
    print_notes(result.notes[len(told) :])
    say(f"{counted(result.train, 'pair')} to train on and {result.val} to validate on, in {output}")
    say(f"left out: {result.nodata} with nodata, {result.empty} empty, {result.border} between train and val")
    say(f"next: sat2map data check {output}")
