"""Owns the command for bulk jobs: words become a plan, options and a backend, and the result is told."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from sat2map.errors import SettingsError
from sat2map.inference.backends import EngineName, EngineOptions
from sat2map.settings import Device, Precision

if TYPE_CHECKING:
    from sat2map.bulk.pipeline import Backend, Summary
    from sat2map.bulk.worker import WorkOptions


@dataclass(frozen=True)
class BulkArgs:
    """The flags of `bulk` that say how each source is translated.

    Attributes:
        model: Model file; none: the one that comes with the package.
        engine: What runs the model; auto: the fastest that is installed. On unlike machines, name one.
        device: Where to run; with --ray, cuda gives each worker a GPU.
        mode: eval or paper; none: what the model file says.
        precision: Arithmetic; auto: bf16 where the hardware multiplies it.
        threads: CPU threads of a worker; 0: one a core that is free, and with --ray one.
        tta: Average over the eight symmetries: a little better, and eight times slower.
        bands: Bands of rasters to read, such as 1,2,3.
        scale: Lowest and highest value of other than 8-bit bands, such as 0,3000.
        resolution: auto (the model's own), source, or metres a pixel to work at.
    """

    model: Path | None = None
    engine: EngineName = "auto"
    device: Device = "auto"
    mode: Literal["eval", "paper"] | None = None
    precision: Precision = "auto"
    threads: int = 0
    tta: bool = False
    bands: str | None = None
    scale: str | None = None
    resolution: str = "auto"

    def options(self, folder: Path, cut: int) -> WorkOptions:
        """Read the words.

        Raises:
            SettingsError: One cannot be read.
            ModelFileError: There is no such model.
        """
        from sat2map.bulk.worker import WorkOptions
        from sat2map.cli.geo import RasterArgs
        from sat2map.models.model import Model

        model = Model.find(self.model)
        rasters = RasterArgs(bands=self.bands, scale=self.scale, resolution=self.resolution).options(
            overwrite=True
        )
        return WorkOptions(
            folder=folder,
            model=model.path,
            model_sha256=model.sha256,
            how=EngineOptions(self.engine, self.device, self.mode, self.precision, self.threads),
            tta=self.tta,
            bands=rasters.bands,
            scale=rasters.scale,
            resolution=rasters.resolution,
            cut=cut,
        )


def bulk(
    inputs: tyro.conf.Positional[list[str]],
    *,
    output: Path,
    shard: str | None = None,
    ray: str | None = None,
    workers: int = 0,
    resume: bool = False,
    cut: int = 8192,
    assemble: Literal["vrt", "cog", "none"] = "vrt",
    column: str | None = None,
    asset: str | None = None,
    how: tyro.conf.OmitArgPrefixes[BulkArgs] = BulkArgs(),
) -> None:
    """Translate very many rasters or images, or a very large one: here, in shards, or on a Ray cluster.

    What is done is not done again: after any failure the same command with --resume goes on. Exits 1 where
    some inputs failed; failures.csv in the folder tells which and why.

    Args:
        inputs: Files, folders, quoted globs, addresses; lists of them: CSV, GeoParquet, STAC items as JSON.
        output: Folder for the maps, the manifest and the report.
        shard: Do the part I of N, such as 0/8; every shard is given the same inputs.
        ray: Do it on a Ray cluster: its address, auto for the one around this machine, local for a new one.
        workers: Ray workers; 0: as many as the cores or GPUs allow.
        resume: Go on in a folder that an earlier run has begun; a shard always does.
        cut: Cut rasters that are larger into windows of this side (px); 0: open none to see.
        assemble: What the windows of a raster become: a VRT, one COG, or nothing more.
        column: The lists' column of paths; none: path, source, file, location, href or url.
        asset: Asset of the STAC items; none: the picture among them.
        how: How each of them is translated.
    """
    if shard is not None and ray is not None:
        raise SettingsError("--shard and --ray both spread the work: give one of them")
    if workers and ray is None:
        raise SettingsError("--workers is for --ray: --ray local starts workers on this machine")
    if cut and cut < 512:
        raise SettingsError(
            f"--cut {cut}: windows of less than 512 px are mostly overlap; 4096 or more is better"
        )
    from rich.console import Console
    from rich.progress import Progress

    from sat2map.bulk.inputs import find_sources
    from sat2map.bulk.manifest import Record
    from sat2map.bulk.pipeline import in_process, run_bulk
    from sat2map.bulk.tasks import plan_tasks
    from sat2map.models.model_file import read_header

    backend: Backend = in_process
    if ray is not None:
        from sat2map.bulk.on_ray import RayBackend

        backend = RayBackend(ray, workers=workers)
    part = None if shard is None else _shard(shard)
    options = how.options(output, cut)
    bands = read_header(options.model).generator.source_bands
    sources = find_sources(inputs, column=column, asset=asset)
    plan = plan_tasks(sources, cut=cut, bands=options.bands, count=bands, scale=options.scale)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        line = bar.add_task("translating", total=None)

        def progress(record: Record | None, done: int, total: int) -> None:
            bar.update(line, completed=done, total=total)
            if record is not None and record.state == "failed":
                console.print(f"sat2map: {record.error}", highlight=False, markup=False, soft_wrap=True)

        summary = run_bulk(
            plan, options, shard=part, backend=backend, resume=resume, assemble=assemble, progress=progress
        )
    _tell(summary, output)
    if summary.failed:
        sys.exit(1)


def _shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise SettingsError(
            f"--shard '{text}' cannot be read: give its number, from 0, and how many, such as 0/8"
        )
    return int(number), int(count)


def _tell(summary: Summary, folder: Path) -> None:
    there = f", {summary.skipped} were there" if summary.skipped else ""
    print(f"{summary.done} written to {folder}{there}")
    for path in summary.assembled:
        print(f"assembled:   {path}")
    if summary.failed:
        print(f"failed:      {len(summary.failed)}, listed in {summary.report}")
        print("next:        mend what can be mended, and run it again with --resume")
    elif summary.left:
        print(f"left:        {summary.left} for other shards")
    else:
        print(f"checksums:   {folder / 'SHA256SUMS'}")
