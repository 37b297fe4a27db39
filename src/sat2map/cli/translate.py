"""The command `translate`: images and rasters in, maps out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sat2map.cli.flags import DeviceFlag, Engine, Gsd, Mode, ModelFlag, Overwrite, PrecisionFlag, Threads, Tta
from sat2map.cli.raster import RasterArgs, translate_rasters
from sat2map.cli.terminal import counted, open_console, print_error, print_notes, say
from sat2map.errors import Sat2MapError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sat2map.inference import Translator
    from sat2map.inference.image_files import Job


def translate(
    *inputs: str,
    model: ModelFlag = None,
    output: Path = Path("maps"),
    overwrite: Overwrite = False,
    gsd: Gsd = None,
    tta: Tta = False,
    engine: Engine = "auto",
    device: DeviceFlag = "auto",
    mode: Mode = None,
    precision: PrecisionFlag = "auto",
    threads: Threads = 0,
    low_memory: bool = False,
    raster: RasterArgs = RasterArgs(),  # noqa: B008 - frozen
) -> None:
    """Translate images into maps: files, folders, globs and rasters, of any size.

    Georeferenced rasters (GeoTIFF and whatever GDAL reads, here or at an address) become Cloud-Optimized
    GeoTIFFs on the same grid; other images become images.

    Args:
        inputs: Image files, folders, quoted globs, addresses.
        output: Folder for the maps, or a file for a single input.
        gsd: Metres per pixel of the images; they are resized to the model's resolution, and the maps back.
        low_memory: Use less memory, at the cost of some speed.

    Examples:
        sat2map translate photo.jpg --output map.png
        sat2map translate photo.jpg --gsd 0.3 --output map.png
        sat2map translate 'photos/*.jpg' --output maps
        sat2map translate ortho.tif --output map.tif
    """
    from sat2map.geo.detect import split_inputs
    from sat2map.inference import Translator
    from sat2map.inference.backends import EngineOptions
    from sat2map.inference.image_files import for_pictures, plan_jobs
    from sat2map.models.model import Model

    rasters, images = split_inputs(list(inputs))
    if raster.any_given() and images:
        raise SettingsError(
            f"{images[0]} is no georeferenced raster", hint="leave out the options for rasters"
        )
    if gsd is not None and rasters:
        raise SettingsError(
            f"{rasters[0]} has a resolution of its own",
            hint="leave out the gsd, or set a resolution",
            setting="gsd",
        )
    jobs = plan_jobs(images, output, overwrite=overwrite) if images or not rasters else []
    path = Model.find(model).path
    options = EngineOptions(
        engine=engine,
        device=device,
        mode=mode,
        precision=precision,
        threads=threads,
        low_memory=low_memory,
    )
    if not rasters:
        options = for_pictures(options, len(jobs), tta=tta)
    translator = Translator.open(path, options, tta=tta)
    if rasters:
        translate_rasters(translator, path, rasters, output, raster, overwrite=overwrite)
    if jobs and _translate_images(translator, jobs, output, gsd):
        sys.exit(2)


def _translate_images(translator: Translator, jobs: Sequence[Job], output: Path, gsd: float | None) -> int:
    """Translate images, report each that fails, and return how many did."""
    from rich.progress import Progress

    from sat2map.inference.image_files import translate_images
    from sat2map.inference.scale import ScaledTranslator

    scaled = translator if gsd is None else ScaledTranslator(translator, gsd)
    if isinstance(scaled, ScaledTranslator) and scaled.warning:
        print_notes([scaled.warning])
    console = open_console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("translating", total=len(jobs))

        def done(job: Job, error: Sat2MapError | None) -> None:
            bar.advance(task)
            if error is not None:
                print_error(str(error))

        failed = translate_images(scaled, jobs, done)
    if len(jobs) > 1:
        say(f"{len(jobs) - failed} of {counted(len(jobs), 'image')} written to {output}")
    elif not failed:
        say(f"written to {jobs[0].output}")
    return failed
