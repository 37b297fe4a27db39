"""Owns the commands for data sets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import tyro


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
        from sat2map.cli.geo import synth_georeferenced

        synth_georeferenced(folder, count=count, size=size, seed=seed)
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
