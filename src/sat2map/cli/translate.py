"""The command `translate`: images and rasters in, maps out."""

from __future__ import annotations

import sys
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING

from sat2map.cli.flags import (
    Colors,
    DeviceFlag,
    Engine,
    Gsd,
    Mode,
    ModelFlag,
    Overwrite,
    PrecisionFlag,
    Threads,
    Tta,
)
from sat2map.cli.raster import RasterArgs, translate_rasters
from sat2map.cli.terminal import counted, print_error, print_notes, progress_bar, say
from sat2map.errors import Sat2MapError, SettingsError
from sat2map.runtime.memory import collector_paused

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
    colors: Colors = None,
    engine: Engine = "auto",
    device: DeviceFlag = "auto",
    mode: Mode = None,
    precision: PrecisionFlag = "auto",
    threads: Threads = 0,
    low_memory: bool = False,
    page: int | None = None,
    whole: bool = False,
    raster: RasterArgs = RasterArgs(),  # noqa: B008 - frozen
) -> None:
    """Translate images into maps: files, folders, globs and rasters.

    Georeferenced rasters (GeoTIFF and whatever GDAL reads, here or at an address) may have any size; they
    become Cloud-Optimized GeoTIFFs on the same grid. Other images, up to 178 megapixels, become images.

    Args:
        inputs: Image files, folders, quoted globs, addresses.
        output: Folder for the maps, or a file for a single input.
        gsd: Metres per pixel of images and of rasters without a CRS; they are resized to the model's
            resolution, and the maps back.
        low_memory: Use less memory, at the cost of some speed.
        page: Which page or frame of images that hold several, from 1; by default the first.
        whole: Translate all of an image that looks like a training pair, not only its photo.

    Examples:
        sat2map translate photo.jpg --output map.png
        sat2map translate photo.jpg --gsd 0.3 --output map.png
        sat2map translate 'photos/*.jpg' --output maps
        sat2map translate ortho.tif --output map.tif
        sat2map translate ortho.tif --output map.tif --colors dark
    """
    with collector_paused():
        from sat2map.geo.detect import is_raster
        from sat2map.inference import Translator
        from sat2map.inference.backends import EngineOptions
        from sat2map.inference.image_files import for_pictures, plan_jobs
        from sat2map.models.model import Model

    jobs = plan_jobs(inputs, output, overwrite=overwrite, resume=raster.resume, is_raster=is_raster)
    images = [job for job in jobs if not job.raster]
    if raster.any_given() and images:
        raise SettingsError(
            f"{images[0].source} is no georeferenced raster", hint="leave out the options for rasters"
        )
    if page is not None and len(images) < len(jobs):
        rasters = [job.raster for job in jobs if job.raster]
        raise SettingsError(
            f"{rasters[0]} is a raster, whose pages have names of their own",
            hint="name the page, such as GTIFF_DIR:2:file.tif",
            setting="page",
        )
    scale = raster.limits()
    raster_options = raster.options(overwrite=overwrite, gsd=gsd) if len(images) < len(jobs) else None
    path = Model.find(model).path
    options = EngineOptions(
        engine=engine, device=device, mode=mode, precision=precision, threads=threads, low_memory=low_memory
    )
    if raster_options is None:
        options = for_pictures(options, len(jobs), tta=tta)
    with collector_paused():  # it imports the engine
        translator = Translator.open(path, options, tta=tta, colors=colors)
    failed = 0
    for is_of_rasters, group in groupby(jobs, key=lambda job: bool(job.raster)):  # in the order of the inputs
        if is_of_rasters:
            assert raster_options is not None
            failed += translate_rasters(translator, path, list(group), raster_options, raster.vectors)
        else:
            failed += _translate_images(
                translator, list(group), gsd, page, whole, scale, keep=raster.resume and not overwrite
            )
    if len(jobs) > 1:
        say(f"{len(jobs) - failed} of {counted(len(jobs), 'map')} written to {output}")
    if failed:
        sys.exit(2)


def _translate_images(
    translator: Translator,
    jobs: Sequence[Job],
    gsd: float | None,
    page: int | None,
    whole: bool,
    scale: tuple[float, ...] | None,
    *,
    keep: bool,
) -> int:
    """Translate images, report each that fails, and return how many did; `keep` those that are finished."""
    from sat2map.inference.image_files import translate_images
    from sat2map.inference.scale import ScaledTranslator, scale_note

    finished = [job for job in jobs if keep and job.output.exists()]
    if finished:
        print_notes([f"{counted(len(finished), 'map')} of an earlier run were left as they are"])
        jobs = [job for job in jobs if job not in finished]
    scaled = translator if gsd is None else ScaledTranslator(translator, gsd)
    note = scale_note(translator.header, gsd)
    print_notes([note] if note else [])
    numbers = count(1)
    with progress_bar("translating", transient=False) as update:
        update(0, len(jobs))

        def done(job: Job, error: Sat2MapError | None) -> None:
            update(next(numbers), len(jobs))
            if error is not None:
                print_error(str(error), error.setting)

        failed = translate_images(
            scaled, jobs, done, page=page, whole=whole, scale=scale, note=lambda text: print_notes([text])
        )
    if len(jobs) == 1 and not failed:
        say(f"written to {jobs[0].output}")
    return failed
