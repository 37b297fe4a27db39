"""The command `bulk`: very many inputs, in shards or on a Ray cluster."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from sat2map.cli.flags import (
    Bands,
    DeviceFlag,
    Engine,
    Gsd,
    Mode,
    ModelFlag,
    PrecisionFlag,
    Scale,
    Threads,
    Tta,
    between,
    parse_numbers,
)
from sat2map.cli.raster import parse_resolution
from sat2map.cli.terminal import print_error, print_notes, progress_bar, say
from sat2map.errors import SettingsError
from sat2map.extras import require_geo

if TYPE_CHECKING:
    from sat2map.bulk.pipeline import Backend, BulkSummary
    from sat2map.bulk.worker import WorkOptions

MIN_CUT = 512  # px; smaller windows are mostly overlap


@Parameter(name="*", group=Group("How each input is translated", sort_key=2))
@dataclass(frozen=True)
class BulkArgs:
    """Options of `bulk` that decide how each input is translated.

    Attributes:
        gsd: Metres per pixel of images and of rasters without a CRS; without it, the model's.
        resolution: Metres per pixel at which the model runs; auto: the model's own; source: the raster's.
    """

    model: ModelFlag = None
    engine: Engine = "auto"
    device: DeviceFlag = "auto"
    mode: Mode = None
    precision: PrecisionFlag = "auto"
    threads: Threads = 0
    tta: Tta = False
    gsd: Gsd = None
    bands: Bands = None
    scale: Scale = None
    resolution: Annotated[str, Parameter(allow_leading_hyphen=True)] = "auto"

    def options(self, output: str, cut: int) -> WorkOptions:
        """Parse them, and find the model.

        Args:
            output: A folder, or an address in object storage.
            cut: Side of the windows that large rasters are cut into (px).

        Raises:
            SettingsError: One cannot be read.
            ModelFileError: There is no such model.
        """
        from sat2map.bulk.store import Store, is_store, scratch_folder
        from sat2map.bulk.worker import WorkOptions
        from sat2map.inference.backends import EngineOptions
        from sat2map.models.model import Model

        folder, store = Path(output), ""
        if output.startswith("memory://"):
            raise SettingsError(
                "what is put into memory:// is gone with the command", hint="give s3://…", setting="output"
            )
        if is_store(output):
            store = Store(output).url
            folder = scratch_folder(store, "")
        model = Model.find(self.model)
        return WorkOptions(
            folder=folder,
            model=model.path,
            model_sha256=model.sha256,
            engine_options=EngineOptions(self.engine, self.device, self.mode, self.precision, self.threads),
            tta=self.tta,
            bands=parse_numbers(self.bands, int, "bands", "1,2,3"),
            scale=parse_numbers(self.scale, float, "scale", "0,3000"),
            resolution=parse_resolution(self.resolution),
            cut=cut,
            gsd=self.gsd,
            store=store,
        )


def bulk(
    *inputs: str,
    output: str,
    shard: str | None = None,
    ray: str | None = None,
    workers: Annotated[int, Parameter(validator=between(0, 100_000))] = 0,
    resume: bool = False,
    cut: Annotated[int, Parameter(validator=between(0, 1_000_000))] = 8192,
    assemble: Literal["vrt", "cog", "none"] = "vrt",
    column: str | None = None,
    asset: str | None = None,
    how: BulkArgs = BulkArgs(),
) -> None:
    """Translate very many rasters or images, or a very large one: here, in shards, or on a Ray cluster.

    Finished work is never repeated: after any failure, run the same command with --resume. If some inputs
    fail, the others are done, failures.csv in the output folder lists the failures, and the exit code is 2.

    Args:
        inputs: Files, folders, quoted globs, addresses; lists of them: CSV, GeoParquet, STAC items as JSON.
        output: Folder for the maps, the manifest and the report; or object storage: s3://, gs:// or az://.
        shard: Do part I of N, such as 0/8; every shard is given the same inputs.
        ray: Run on a Ray cluster: its address, auto for the one around this machine, local for a new one.
        workers: Ray workers; 0: as many as the cores or GPUs allow.
        resume: Continue in a folder that an earlier run has begun; a shard always does.
        cut: Cut larger rasters into windows of this side (px), and let sheets of one image see their
            neighbours; 0: neither.
        assemble: What the windows of a raster become: a VRT, one COG, or nothing more.
        column: Column of paths in the lists; without it: path, source, file, location, href or url.
        asset: Asset of the STAC items; without it, the image among them.
        how: How each input is translated.

    Examples:
        sat2map bulk 'orthos/*.tif' --output maps
        sat2map bulk list.csv --output maps --shard 0/8
        sat2map bulk s3://bucket/photos/ --output s3://bucket/maps --resume
    """
    require_geo("bulk")
    if shard is not None and ray is not None:
        raise SettingsError("a shard and Ray both spread the work", hint="use one of them", setting="shard")
    if workers and ray is None:
        raise SettingsError(
            "workers are for Ray",
            hint="to start workers on this machine, set ray to local",
            setting="workers",
        )
    if cut and cut < MIN_CUT:
        raise SettingsError(
            f"windows of {cut} px are mostly overlap",
            hint="use 512 px or more; 4096 is better",
            setting="cut",
        )
    from sat2map.bulk.inputs import find_sources
    from sat2map.bulk.manifest import TaskRecord
    from sat2map.bulk.pipeline import in_process, run_bulk
    from sat2map.bulk.planning import plan_tasks

    backend: Backend = in_process
    if ray is not None:
        from sat2map.bulk.on_ray import RayBackend

        backend = RayBackend(ray, workers=workers)
    part = None if shard is None else _parse_shard(shard)
    options = how.options(output, cut)
    sources = find_sources(list(inputs), column=column, asset=asset)
    plan = plan_tasks(sources, cut=cut, reading=options.reading())
    print_notes(plan.notes)
    with progress_bar("translating", transient=False) as update:

        def progress(record: TaskRecord | None, done: int, total: int) -> None:
            update(done, total)
            if record is not None and record.state == "failed":
                print_error(record.error, record.setting)

        summary = run_bulk(
            plan, options, shard=part, backend=backend, resume=resume, assemble=assemble, progress=progress
        )
    _report(summary, output)
    if summary.failed:
        sys.exit(2)


def _parse_shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise SettingsError(
            f"'{text}' is no shard",
            hint="give its number, from 0, and how many there are: 0/8",
            setting="shard",
        )
    return int(number), int(count)


def _report(summary: BulkSummary, folder: str) -> None:
    folder = folder.rstrip("/")
    skipped = f", {summary.skipped} were there" if summary.skipped else ""
    say(f"{summary.done} written to {folder}{skipped}")
    for path in summary.assembled:
        say(f"assembled:   {folder}/{path.name}")
    if summary.failed and summary.report is not None:
        say(f"failed:      {len(summary.failed)}, listed in {folder}/{summary.report.name}")
        say("next:        repair what can be repaired, and run the command again with --resume")
    elif summary.left:
        say(f"left:        {summary.left} for other shards")
    else:
        say(f"checksums:   {folder}/SHA256SUMS")
