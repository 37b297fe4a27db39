"""Owns the command `translate`: pictures and rasters in, maps out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from sat2map.cli.geo import RasterArgs, translate_rasters
from sat2map.errors import Sat2MapError, SettingsError
from sat2map.geo.detect import split_inputs
from sat2map.inference.backends import EngineName, EngineOptions
from sat2map.settings import Device, Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sat2map.inference import Translator
    from sat2map.inference.image_files import Job


def translate(
    inputs: tyro.conf.Positional[list[str]],
    *,
    model: Path | None = None,
    output: Path = Path("maps"),
    overwrite: bool = False,
    gsd: float | None = None,
    tta: bool = False,
    engine: EngineName = "auto",
    device: Device = "auto",
    mode: Literal["eval", "paper"] | None = None,
    precision: Precision = "auto",
    threads: int = 0,
    low_memory: bool = False,
    raster: tyro.conf.OmitArgPrefixes[RasterArgs] = RasterArgs(),  # noqa: B008 - frozen
) -> None:
    """Translate images into maps: files, folders, globs, rasters, of any size.

    Rasters on the ground (GeoTIFF and whatever GDAL reads, here or at an address) become Cloud-Optimized
    GeoTIFFs on the same grid; pictures become pictures.

    Args:
        inputs: Image files, folders, quoted globs, addresses.
        model: Model file; none: the one that comes with the package.
        output: Folder for the maps, or a file for a single input.
        overwrite: Replace existing files.
        gsd: Ground size of a pixel of the pictures (metres): they are brought to the model's scale and back.
        tta: Average over the eight symmetries: a little better, and eight times slower.
        engine: What runs the model; auto: the fastest that is installed.
        device: Where to run.
        mode: eval (running statistics) or paper (batch statistics, dropout); none: what the model file says.
        precision: Arithmetic; auto: bf16 where the hardware multiplies it.
        threads: CPU threads; 0: one a core that is free.
        low_memory: Give up some speed for a smaller peak of memory.
        raster: The flags for rasters.
    """
    from sat2map.inference import Translator
    from sat2map.inference.image_files import for_pictures, plan_jobs
    from sat2map.models.model import Model

    rasters, pictures = split_inputs(inputs)
    if raster.any_given() and pictures:
        raise SettingsError(
            f"{pictures[0]} is a picture, not a raster on the ground: leave out the flags for rasters"
        )
    if gsd is not None and rasters:
        raise SettingsError(
            f"{rasters[0]} knows its own ground size of a pixel: leave out --gsd, or give --resolution"
        )
    jobs = plan_jobs(pictures, output, overwrite=overwrite) if pictures or not rasters else []
    model = Model.find(model).path
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
    translator = Translator.open(model, options, tta=tta)
    if rasters:
        translate_rasters(translator, model, rasters, output, raster, overwrite=overwrite)
    if jobs and _translate_pictures(translator, jobs, output, gsd):
        sys.exit(2)


def _translate_pictures(translator: Translator, jobs: Sequence[Job], output: Path, gsd: float | None) -> int:
    """Translate pictures, tell of it, and return how many failed."""
    from rich.console import Console
    from rich.progress import Progress

    from sat2map.inference.image_files import translate_images
    from sat2map.inference.scale import ScaledTranslator

    scaled = translator if gsd is None else ScaledTranslator(translator, gsd)
    if isinstance(scaled, ScaledTranslator) and scaled.warning:
        print(f"note: {scaled.warning}", file=sys.stderr)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("translating", total=len(jobs))

        def done(job: Job, error: Sat2MapError | None) -> None:
            bar.advance(task)
            if error is not None:
                console.print(f"sat2map: {error}", style="red", highlight=False, markup=False, soft_wrap=True)

        failed = translate_images(scaled, jobs, done)
    if len(jobs) > 1:
        print(f"{len(jobs) - failed} of {len(jobs)} written to {output}")
    elif not failed:
        print(f"written to {jobs[0].output}")
    return failed
