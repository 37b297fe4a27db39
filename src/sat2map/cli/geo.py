"""Owns the commands for rasters: words become options, and what a person should know is told."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import tyro

from sat2map.errors import SettingsError
from sat2map.extras import require_geo

if TYPE_CHECKING:
    from rich.progress import Progress

    from sat2map.geo.raster_job import RasterOptions
    from sat2map.inference import Translator

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class RasterWords:
    """The flags of `translate` that are for rasters, as they are typed.

    Attributes:
        bands: Bands of a raster to read, such as 4,3,2; none: red, green, blue, or the first ones.
        scale: Lowest and highest value of other than 8-bit bands, such as 0,3000; none: measured.
        window: Part of a raster: column, row, width, height (px).
        bounds: Part of a raster: left, bottom, right, top in its CRS.
        resolution: Metres a pixel to work at; auto: the model's; source: the raster's. The map's grid is the
            raster's either way.
        confidence: File for a raster that says how far each pixel is to be trusted, in percent; eight times
            slower.
        classes: File for a raster of the class head's class numbers.
        resume: Go on with the rows that an interrupted run has finished.
    """

    bands: str | None = None
    scale: str | None = None
    window: str | None = None
    bounds: str | None = None
    resolution: str = "auto"
    confidence: Path | None = None
    classes: Path | None = None
    resume: bool = False

    def any_given(self) -> bool:
        """Whether one of them was typed, so that the input must be a raster."""
        return self != RasterWords()

    def options(self, *, overwrite: bool) -> RasterOptions:
        """Read the words.

        Raises:
            SettingsError: One cannot be read.
        """
        from sat2map.geo.raster_job import RasterOptions

        window = numbers(self.window, int, "--window", "0,0,1024,1024 (column, row, width, height)", 4)
        bounds = numbers(
            self.bounds, float, "--bounds", "399000,5810000,401000,5812000 (left, bottom, right, top)", 4
        )
        return RasterOptions(
            bands=numbers(self.bands, int, "--bands", "1,2,3"),
            scale=numbers(self.scale, float, "--scale", "0,3000"),
            window=(window[0], window[1], window[2], window[3]) if window else None,
            bounds=(bounds[0], bounds[1], bounds[2], bounds[3]) if bounds else None,
            resolution=_resolution(self.resolution),
            confidence=self.confidence,
            classes=self.classes,
            overwrite=overwrite,
            resume=self.resume,
        )


def translate_rasters(
    translator: Translator,
    model: Path,
    sources: Sequence[str],
    output: Path,
    words: RasterWords,
    *,
    overwrite: bool,
) -> None:
    """Translate rasters on the ground into Cloud-Optimized GeoTIFFs on the same grid.

    Args:
        translator: The model.
        model: Its file.
        sources: Whatever GDAL reads: files and addresses.
        output: A .tif file for a single source, else a folder.
        words: The flags for rasters.
        overwrite: Whether files may be replaced.

    Raises:
        Sat2MapError: A source, a flag or an output cannot be used.
    """
    require_geo("a raster on the ground")
    from sat2map.geo.translate_raster import translate_raster

    options = words.options(overwrite=overwrite)
    one_file = output.suffix.lower() in (".tif", ".tiff") and not output.is_dir()
    if len(sources) > 1 and one_file:
        raise SettingsError(
            f"--output {output} is one file, but there are {len(sources)} inputs: give it a folder"
        )
    if len(sources) > 1 and (options.confidence or options.classes):
        raise SettingsError("--confidence and --classes name one file each: translate one raster at a time")
    about = (model.name, hashlib.sha256(model.read_bytes()).hexdigest())
    for source in sources:
        path = output if one_file else output / f"{Path(source.split('?')[0]).stem}.tif"
        with _bar("tiles") as bar:
            task = bar.add_task(Path(source).name)

            def progress(done: int, total: int, bar: Progress = bar, task: object = task) -> None:
                bar.update(task, completed=done, total=total)  # type: ignore[arg-type]

            try:
                result = translate_raster(translator, source, path, options, model=about, progress=progress)
            except KeyboardInterrupt:
                bar.console.print("interrupted: the finished rows are kept, and --resume goes on from them")
                raise
        _tell(result.notes)
        speed = result.tiles / result.seconds if result.seconds else 0
        share = result.network_seconds / result.seconds if result.seconds else 0
        print(
            f"written to {path} ({result.tiles} tiles, {speed:.1f} a second, {share:.0%} of it the network)"
        )


def vectorize(
    raster: tyro.conf.Positional[Path],
    *,
    output: Path,
    palette: str | None = None,
    centre_lines: str = "road,highway",
    tolerance: float = 1.0,
    min_area: float = 20.0,
    overwrite: bool = False,
) -> None:
    """Turn a map raster into vectors: polygons of each class, and centre lines of roads.

    Args:
        raster: A map that `translate` wrote, its class raster (--classes), or any RGB map.
        output: Where to: .gpkg (a layer a class), .geojson or .fgb (one layer, with the class as a field).
        palette: Map classes; none: those that the map says, else "maps".
        centre_lines: Classes that get centre lines too, by name.
        tolerance: How far a simplified outline may stray (px).
        min_area: Smaller patches join their neighbour (px).
        overwrite: Replace an existing file.
    """
    require_geo("vectorize")
    from sat2map.geo.vectorize import vectorize_raster

    lines = [name for name in centre_lines.replace(" ", "").split(",") if name]
    result = vectorize_raster(
        raster,
        output,
        palette=palette,
        centre_lines=lines,
        tolerance=tolerance,
        min_area=min_area,
        overwrite=overwrite,
    )
    _tell(result.notes)
    for layer, count in result.features.items():
        print(f"{layer + ':':<24} {count}")
    print(f"written to {output}")


def tiles(
    raster: tyro.conf.Positional[Path],
    *,
    output: Path,
    zooms: str | None = None,
    overwrite: bool = False,
) -> None:
    """Cut a raster into web-mercator tiles: .mbtiles, .pmtiles, or a folder of z/x/y.png.

    Args:
        raster: A map that `translate` wrote, or any raster with a CRS.
        output: Where to; the suffix tells the kind.
        zooms: Lowest and highest zoom level, such as 12-18; none: one tile to the raster's own resolution.
        overwrite: Replace what is there.
    """
    require_geo("tiles")
    from sat2map.geo.tiles import write_tiles

    levels = numbers(zooms.replace("-", ",") if zooms else None, int, "--zooms", "12-18", 2)
    with _bar("tiles") as bar:
        task = bar.add_task(raster.name)
        result = write_tiles(
            raster,
            output,
            zooms=(levels[0], levels[1]) if levels else None,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print(f"written to {output} ({result.count} tiles, zoom {result.zooms[0]} to {result.zooms[1]})")


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
    with _bar("tiles") as bar:
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
    _tell(result.notes)
    print(f"{result.train} pairs to train on and {result.val} to validate on, in {output}")
    print(
        f"left out: {result.nodata} with nodata, {result.empty} empty, {result.border} between train and val"
    )
    print(f"next: sat2map data check {output}")


def synth_georeferenced(folder: Path, *, count: int, size: int, seed: int) -> None:
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


def numbers(
    text: str | None, kind: Callable[[str], Number], flag: str, example: str, count: int | None = None
) -> tuple[Number, ...] | None:
    """Read numbers with commas between them.

    Raises:
        SettingsError: They are no numbers, or another count of them.
    """
    if text is None:
        return None
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or (count is not None and len(values) != count):
        raise SettingsError(
            f"{flag} '{text}' cannot be read: give {count or ''} numbers such as {example}".replace("  ", " ")
        )
    return values


def _resolution(text: str) -> float | Literal["auto", "source"]:
    if text == "auto":
        return "auto"
    if text == "source":
        return "source"
    try:
        metres = float(text)
    except ValueError:
        metres = 0
    if not 0 < metres < float("inf"):
        raise SettingsError(f"--resolution '{text}': give metres a pixel such as 0.5, or auto, or source")
    return metres


def _bar(unit: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.completed:.0f} of {task.total or 0:.0f} {unit}, {task.speed or 0:.1f}/s")

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), Speed(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, speed_estimate_period=120)


def _tell(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
