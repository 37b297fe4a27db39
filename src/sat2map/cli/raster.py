"""What `translate` does with georeferenced rasters, and their options."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from sat2map.cli.flags import MAX_GSD, MIN_GSD, Bands, Scale, parse_numbers
from sat2map.cli.terminal import print_notes, say, unit_bar
from sat2map.errors import SettingsError
from sat2map.extras import require_geo

if TYPE_CHECKING:
    from rich.progress import Progress

    from sat2map.geo.raster_job import RasterOptions
    from sat2map.inference import Translator

Leading = Parameter(allow_leading_hyphen=True)  # their numbers may be negative


@Parameter(name="*", group=Group("Options for rasters", sort_key=2))
@dataclass(frozen=True)
class RasterArgs:
    """Options of `translate` that are for georeferenced rasters.

    Attributes:
        window: Part of a raster: column, row, width, height (px).
        bbox: Part of a raster: left, bottom, right, top, in its own CRS.
        resolution: Metres per pixel at which the model runs; auto: the model's own; source: the raster's. The
            map has the raster's grid in any case.
        confidence: File for a raster of the confidence of each pixel, in percent; eight times slower.
        classes: File for a raster of class numbers.
        resume: Continue with the rows that an interrupted run has finished.
    """

    bands: Bands = None
    scale: Scale = None
    window: Annotated[str | None, Leading] = None
    bbox: Annotated[str | None, Leading] = None
    resolution: Annotated[str, Leading] = "auto"
    confidence: Path | None = None
    classes: Path | None = None
    resume: bool = False

    def any_given(self) -> bool:
        """Whether one of them was given, so that the input must be a raster."""
        return self != RasterArgs()

    def options(self, *, overwrite: bool) -> RasterOptions:
        """Parse those that hold several numbers.

        Raises:
            SettingsError: One cannot be read.
        """
        from sat2map.geo.raster_job import RasterOptions

        window = parse_numbers(self.window, int, "window", "0,0,1024,1024 (column, row, width, height)", 4)
        example = "399000,5810000,401000,5812000 (left, bottom, right, top)"
        bbox = parse_numbers(self.bbox, float, "bbox", example, 4)
        return RasterOptions(
            bands=parse_numbers(self.bands, int, "bands", "1,2,3"),
            scale=parse_numbers(self.scale, float, "scale", "0,3000"),
            window=(window[0], window[1], window[2], window[3]) if window else None,
            bounds=(bbox[0], bbox[1], bbox[2], bbox[3]) if bbox else None,
            resolution=parse_resolution(self.resolution),
            confidence=self.confidence,
            classes=self.classes,
            overwrite=overwrite,
            resume=self.resume,
        )


def parse_resolution(text: str) -> float | Literal["auto", "source"]:
    """Read `auto`, `source`, or metres per pixel.

    Raises:
        SettingsError: It is neither, or no sensible number.
    """
    if text == "auto":
        return "auto"
    if text == "source":
        return "source"
    try:
        metres = float(text)
    except ValueError:
        metres = 0
    if not MIN_GSD <= metres <= MAX_GSD:
        raise SettingsError(
            f"'{text}' is no resolution",
            hint=f"give metres per pixel such as 0.5 ({MIN_GSD:g} to {MAX_GSD:g}), or auto, or source",
            setting="resolution",
        )
    return metres


def translate_rasters(
    translator: Translator,
    model: Path,
    sources: Sequence[str],
    output: Path,
    arguments: RasterArgs,
    *,
    overwrite: bool,
) -> None:
    """Translate georeferenced rasters into Cloud-Optimized GeoTIFFs on the same grid.

    Args:
        translator: The model.
        model: Its file.
        sources: Whatever GDAL reads: files and addresses.
        output: A .tif file for a single source, else a folder.
        arguments: The options for rasters.
        overwrite: Whether files may be replaced.

    Raises:
        Sat2MapError: A source, an option or an output cannot be used.
    """
    require_geo("a georeferenced raster")
    from sat2map.geo.translate_raster import translate_raster

    options = arguments.options(overwrite=overwrite)
    one_file = output.suffix.lower() in (".tif", ".tiff") and not output.is_dir()
    if len(sources) > 1 and one_file:
        raise SettingsError(
            f"{output} is one file, but there are {len(sources)} inputs",
            hint="give a folder",
            setting="output",
        )
    if len(sources) > 1 and (options.confidence or options.classes):
        raise SettingsError(
            f"one file of {'confidence' if options.confidence else 'classes'} for {len(sources)} rasters",
            hint="translate one raster at a time",
            setting="confidence" if options.confidence else "classes",
        )
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
                bar.console.print("interrupted: the finished rows are kept; --resume continues with the rest")
                raise
        print_notes(result.notes)
        speed = result.tiles / result.seconds if result.seconds else 0
        share = result.network_seconds / result.seconds if result.seconds else 0
        say(f"written to {path} ({result.tiles} tiles, {speed:.1f} a second, {share:.0%} of it the network)")
