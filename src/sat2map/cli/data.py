"""The commands for data sets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sat2map.cli.flags import (
    Count,
    Fraction,
    GroupColumn,
    Seed,
    between,
)
from sat2map.cli.terminal import counted, open_console, print_notes, progress_bar, say
from sat2map.settings import DataSetName

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
