"""The commands for rasters: vectorize, tiles, and what `translate` does with georeferenced input."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from sat2map.cli.terminal import numbers, print_notes, unit_bar
from sat2map.errors import SettingsError
from sat2map.extras import require_geo

if TYPE_CHECKING:
    from rich.progress import Progress

    from sat2map.geo.raster_job import RasterOptions
    from sat2map.inference import Translator


@dataclass(frozen=True)
class RasterArgs:
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
        return self != RasterArgs()

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
    words: RasterArgs,
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
        with unit_bar("tiles") as bar:
            task = bar.add_task(Path(source).name)

            def progress(done: int, total: int, bar: Progress = bar, task: object = task) -> None:
                bar.update(task, completed=done, total=total)  # type: ignore[arg-type]

            try:
                result = translate_raster(translator, source, path, options, model=about, progress=progress)
            except KeyboardInterrupt:
                bar.console.print("interrupted: the finished rows are kept, and --resume goes on from them")
                raise
        print_notes(result.notes)
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
    print_notes(result.notes)
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
    with unit_bar("tiles") as bar:
        task = bar.add_task(raster.name)
        result = write_tiles(
            raster,
            output,
            zooms=(levels[0], levels[1]) if levels else None,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print(f"written to {output} ({result.count} tiles, zoom {result.zooms[0]} to {result.zooms[1]})")


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
