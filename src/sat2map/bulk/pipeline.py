"""A bulk job from its start to its report, on one of three backends."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from sat2map.bulk.manifest import CrashCounter, Manifest, TaskRecord
from sat2map.bulk.tasks import BulkPlan, Mosaic, Task
from sat2map.bulk.worker import Worker, WorkOptions
from sat2map.errors import OutputError, SettingsError
from sat2map.files import atomic_write_text, lock_output

JOB = "job.json"

Assemble = Literal["vrt", "cog", "none"]
Backend = Callable[[WorkOptions, Sequence[Task]], Iterator[TaskRecord]]
"""Does tasks in any order and yields a record of each; may be given up at any time."""


@dataclass(frozen=True)
class BulkSummary:
    """What a run did, and where the whole job stands.

    Outputs were written (done), there already (skipped) or failed; `left` is that of the whole job.
    """

    done: int
    skipped: int
    failed: tuple[TaskRecord, ...]
    left: int
    assembled: tuple[Path, ...]
    report: Path | None


def in_process(options: WorkOptions, tasks: Sequence[Task]) -> Iterator[TaskRecord]:
    """Do the tasks here (a `Backend`): rasters one after the other, then images, some at the same time.

    A task that a process died over before is done alone: it must not take others with it.

    Raises:
        Sat2MapError: The model cannot be used.
    """
    images = [task for task in tasks if not task.is_raster]
    rasters = [task for task in tasks if task.is_raster]
    if rasters:
        worker = Worker(options)
        for task in rasters:
            yield worker(task)
    if not images:
        return
    worker = Worker(options, images=len(images))
    suspects = [task for task in images if CrashCounter(options.folder, task).count()]
    for task in suspects:
        yield worker(task)
    upcoming = iter([task for task in images if task not in suspects])
    at_once = worker.streams + 2  # as many in the network, and two that are read or written
    with ThreadPoolExecutor(at_once, thread_name_prefix="bulk") as pool:
        begun = deque(pool.submit(worker, task) for task in islice(upcoming, at_once))
        try:
            while begun:
                record = begun.popleft().result()
                begun.extend(pool.submit(worker, task) for task in islice(upcoming, 1))
                yield record
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def run_bulk(
    plan: BulkPlan,
    options: WorkOptions,
    *,
    shard: tuple[int, int] | None = None,
    backend: Backend = in_process,
    resume: bool = False,
    assemble: Assemble = "vrt",
    progress: Callable[[TaskRecord | None, int, int], None] = lambda record, done, total: None,
) -> BulkSummary:
    """Do all tasks of a plan, or a shard of them, that are not done yet.

    Outputs are written whole or not at all, and written down with their checksums; so a run may be killed
    and started again at any time. One bad file stops no other. Whoever finishes the last task assembles what
    was cut.

    Args:
        plan: From `plan_tasks`; every shard's must be made of the same inputs.
        options: How each task is done.
        shard: Its number, from 0, and how many there are; None: all tasks.
        backend: What does the work.
        resume: Go on in a folder that an earlier run has begun; a shard always does.
        assemble: What windows become: a VRT that lists them, one COG, or nothing more.
        progress: Called with the record of a task, and how many of this run's tasks are done.

    Raises:
        SettingsError: The folder holds another job, or one that is not to be resumed; there is no such shard.
        OutputError: An output cannot be written, and neither could the next ones.
    """
    _record_job(options, resume=resume or shard is not None)
    name = "job" if shard is None else f"shard-{shard[0]}-of-{shard[1]}"
    with lock_output(options.folder / name):
        manifest = Manifest(options.folder)
        records = manifest.read()
        mine = plan.tasks if shard is None else plan.shard(*shard)
        todo = [task for task in mine if not manifest.is_done(task, records)]
        done, total = len(mine) - len(todo), len(mine)
        progress(None, done, total)
        failed: list[TaskRecord] = []
        for record in backend(options, todo) if todo else ():
            manifest.add(record)
            done += 1
            progress(record, done, total)
            if record.state == "failed":
                failed.append(record)
            if record.fatal:
                raise OutputError(str(record.error), hint="then resume the job", setting="resume")
        records = manifest.read()
        left = [task for task in plan.tasks if not manifest.is_done(task, records)]
        if not left:
            manifest.write_checksums(records[task.output] for task in plan.tasks)
        return BulkSummary(
            done=len(todo) - len(failed),
            skipped=len(mine) - len(todo),
            failed=tuple(failed),
            left=len(left),
            assembled=_assemble(plan.mosaics, left, options.folder, assemble),
            report=_write_report(options.folder, shard, failed),
        )


def _record_job(options: WorkOptions, *, resume: bool) -> None:
    """Write down what the folder's job is, or check that it is this one."""
    folder, job = options.folder, options.config_key()
    path = folder / JOB
    if not path.exists():
        if folder.exists() and not folder.is_dir():
            raise SettingsError(f"{folder} is a file", hint="give a folder", setting="output")
        if not resume and folder.exists() and any(folder.iterdir()):
            raise SettingsError(f"{folder} is not empty", hint="choose a new folder", setting="output")
        atomic_write_text(path, json.dumps(job, indent=1))
        return
    if not resume:
        raise SettingsError(
            f"{folder} holds a job already", hint="resume it, or choose a new folder", setting="resume"
        )
    try:
        before = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise SettingsError(f"{path} cannot be read", hint="choose a new folder", setting="output") from None
    other = [name for name in {**before, **job} if before.get(name) != job.get(name)]
    if other:
        raise SettingsError(
            f"{folder} was begun with another {' and '.join(other)}: give the same options, or a new folder"
        )


def _assemble(
    mosaics: Iterable[Mosaic], left: Sequence[Task], folder: Path, kind: Assemble
) -> tuple[Path, ...]:
    """Put those mosaics together of which no window is left to do."""
    if kind == "none" or not mosaics:
        return ()
    from sat2map.bulk.mosaic import write_cog, write_vrt

    missing = {task.output for task in left}
    whole = [mosaic for mosaic in mosaics if not missing & {task.output for task in mosaic.tasks}]
    vrts = (write_vrt(mosaic, folder) for mosaic in whole)
    return tuple(write_cog(vrt) if kind == "cog" else vrt for vrt in vrts)


def _write_report(folder: Path, shard: tuple[int, int] | None, failed: Sequence[TaskRecord]) -> Path | None:
    """Write the table of what failed; that of an earlier run goes."""
    path = folder / ("failures.csv" if shard is None else f"failures.{shard[0]}-of-{shard[1]}.csv")
    if not failed:
        path.unlink(missing_ok=True)
        return None
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["source", "output", "error"])
    writer.writerows([record.source, record.output, record.error] for record in failed)
    atomic_write_text(path, table.getvalue())
    return path
