"""A bulk job from its start to its report, on one of three backends."""

from __future__ import annotations

import contextlib
import csv
import io
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from sat2map.bulk.job_file import record_job
from sat2map.bulk.manifest import CHECKSUMS, CrashCounter, Manifest, TaskRecord
from sat2map.bulk.store import Store
from sat2map.bulk.tasks import BulkPlan, Mosaic, Task
from sat2map.bulk.worker import Worker, WorkOptions
from sat2map.errors import OutputError
from sat2map.files import LOCK_SUFFIX, atomic_write_text, lock_output, remove_leftovers

Assemble = Literal["vrt", "cog", "none"]
Backend = Callable[[WorkOptions, Sequence[Task]], Iterator[TaskRecord]]
"""Does tasks in any order and yields a record of each; may be given up at any time."""


@dataclass(frozen=True)
class BulkSummary:
    """What a run did, and where the whole job stands.

    Attributes:
        done: Outputs that this run wrote.
        skipped: Those that were there already.
        failed: Records of this run's tasks that failed.
        left: Tasks of the whole job without an output, the failed ones among them.
        assembled: Mosaics and COGs that were put together; in object storage, only their names are there.
        report: The table of what failed, if something did.
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
        OutputError: An output cannot be written, and neither could the next ones; or shards of the same job
            are at work in the folder, and this run is of all tasks.
    """
    store = options.open_store()
    record_job(options, store, resume=resume or shard is not None)
    name = "job" if shard is None else f"shard-{shard[0]}-of-{shard[1]}"
    if store is not None:  # of another process nothing lies in it, and at the end nothing at all
        options = replace(options, folder=options.folder / name)
    with lock_output(options.folder / name):
        if shard is None:  # else what another shard is writing would go, too
            _refuse_beside_shards(options.folder)
            remove_leftovers(options.folder, age=0)
        manifest = Manifest(options.folder, store)
        try:
            summary = _run(plan, options, store, manifest, shard, backend, assemble, progress)
        finally:
            manifest.put()
        if store is not None:
            shutil.rmtree(options.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # that of another shard is at work
                options.folder.parent.rmdir()
        return summary


def _refuse_beside_shards(folder: Path) -> None:
    remove_leftovers(folder)  # locks of those that were killed
    if any(folder.glob(f".shard-*{LOCK_SUFFIX}")):
        raise OutputError(
            f"shards of this job are being written to {folder}", hint="wait for them", setting="output"
        )


def _run(
    plan: BulkPlan,
    options: WorkOptions,
    store: Store | None,
    manifest: Manifest,
    shard: tuple[int, int] | None,
    backend: Backend,
    assemble: Assemble,
    progress: Callable[[TaskRecord | None, int, int], None],
) -> BulkSummary:
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
    assembled: list[Path] = []
    if not left:
        path = manifest.write_checksums(records[task.output] for task in plan.tasks)
        if store is not None:
            store.upload(CHECKSUMS, path)
    if assemble != "none":
        missing = {task.output for task in left}
        whole = [one for one in plan.mosaics if not missing & {task.output for task in one.tasks}]
        assembled = [_assemble(mosaic, options.folder, store, records, assemble) for mosaic in whole]
    return BulkSummary(
        done=len(todo) - len(failed),
        skipped=len(mine) - len(todo),
        failed=tuple(failed),
        left=len(left),
        assembled=tuple(assembled),
        report=_write_report(options.folder, store, shard, failed),
    )


def _assemble(
    mosaic: Mosaic, folder: Path, store: Store | None, records: Mapping[str, TaskRecord], kind: Assemble
) -> Path:
    from sat2map.bulk.mosaic import write_cog, write_vrt

    there = [task for task in mosaic.tasks if records[task.output].state == "done"]
    if store is not None:  # a list of them needs the first one, a copy needs all
        for task in there if kind == "cog" else there[:1]:
            store.download(task.output, folder / task.output)
    path = write_vrt(mosaic, folder, there)
    paths = [path]
    if kind == "cog":
        path = write_cog(path)
        paths.append(path)
    if store is not None:
        for one in paths:
            store.upload(one.name, one)
            one.unlink()
        shutil.rmtree(folder / mosaic.name)
    return path


def _write_report(
    folder: Path, store: Store | None, shard: tuple[int, int] | None, failed: Sequence[TaskRecord]
) -> Path | None:
    """Write the table of what failed; that of an earlier run goes."""
    path = folder / ("failures.csv" if shard is None else f"failures.{shard[0]}-of-{shard[1]}.csv")
    if not failed:
        path.unlink(missing_ok=True)
        if store is not None:
            store.delete(path.name)
        return None
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["source", "output", "error"])
    writer.writerows([record.source, record.output, record.error] for record in failed)
    atomic_write_text(path, table.getvalue())
    if store is not None:
        store.upload(path.name, path)
    return path
