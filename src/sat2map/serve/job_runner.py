"""Jobs: large images in the background, with progress, cancellation, and results that expire."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sat2map.errors import OutputError
from sat2map.serve.batch_queue import Cancelled, Progress
from sat2map.serve.http_errors import (
    BusyError,
    InsufficientStorageError,
    InterruptedJobError,
    NotFoundError,
    NotReadyError,
)
from sat2map.serve.input_files import RESULTS, Inspected
from sat2map.serve.job_store import ENDED, JobRecord, JobStore, State
from sat2map.serve.pictures import ALL, Part
from sat2map.serve.problems import INTERNAL, describe, kind_of
from sat2map.serve.serve_settings import MIB, Limits

_log = logging.getLogger("sat2map.serve")
LOOK_AGAIN = 1.0  # s between looks for jobs that another process has queued
STORE_EVERY = 0.2  # s between records of a job's progress
_DIED = (
    "the service's process ended while this job ran, so it is not started again: send it once more to retry"
)


Translate = Callable[[JobRecord, Path, Path, Progress], tuple[str, ...]]
"""Translates the upload of a job into a file, in a thread of the jobs, and returns the notes."""


class Jobs:
    """The jobs of a service.

    The folder of a job is `STATE/jobs/ID`, its record a row of `STATE/jobs.sqlite`. A service that stops puts
    its running jobs back into the queue for the next one. A job during which the process died is marked as
    failed and not started again, as it may be what killed the process. For a job that does not exist, or
    belongs to another key, methods raise a `NotFoundError`.

    Attributes:
        stopping: Whether the service is about to stop.
    """

    def __init__(
        self,
        translate: Translate,
        state: Path,
        limits: Limits,
        *,
        count: Callable[[State], None],
        shared: bool,
    ) -> None:
        """Open the state folder.

        Args:
            translate: Does the work.
            state: The folder.
            limits: Of the service.
            count: Called with the state of each job that ends.
            shared: Whether other processes of the service use the folder too.

        Raises:
            SettingsError: It cannot be used.
        """
        self._store = JobStore(state / "jobs.sqlite", shared=shared)
        self._exclusive = not shared
        self._folder = state / "jobs"
        self._translate = translate
        self._count = count
        self._limits = limits
        self._cancelled: set[str] = set()
        self._arriving: dict[Path, int] = {}
        self._changed = threading.Condition()
        self.stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Run what is queued; in a service of several worker processes only one of them calls this."""
        for record in self._store.in_states("running"):
            self._end(record.id, "failed", InterruptedJobError(_DIED))
        self.expire(0 if self._exclusive else self._limits.job_upload_seconds)
        for number in range(self._limits.concurrent_jobs):
            thread = threading.Thread(target=self._work, name=f"job-{number}")
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop at the next tile and put running jobs back into the queue."""
        self.interrupt()
        for thread in self._threads:
            thread.join()
        self._store.close()

    def interrupt(self) -> None:
        """Let running jobs stop at the next tile, and event streams end."""
        with self._changed:
            self.stopping = True
            self._changed.notify_all()

    @contextlib.contextmanager
    def new_folder(self, declared: int) -> Iterator[Path]:
        """Yield a folder for an upload of `declared` bytes at most, whose name a job may take by `add`.

        It is removed where the block ends with an error.

        Raises:
            BusyError: Too many jobs wait.
            InsufficientStorageError: The disk has no room for another.
        """
        waiting = len(self._store.in_states("queued", "running")) + len(self._arriving)
        if waiting >= self._limits.queued_jobs:
            raise BusyError(f"{waiting} jobs are waiting already: try again later", retry_after=60)
        if (
            self._store.total_bytes() + sum(self._arriving.values()) + declared
            > self._limits.result_mib * MIB
        ):
            raise InsufficientStorageError(
                "the space for results is used up: delete finished jobs, or try again later"
            )
        folder = self._folder / secrets.token_urlsafe(16)
        self._arriving[folder] = declared
        try:
            folder.mkdir(parents=True)
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            del self._arriving[folder]

    def add(
        self,
        folder: Path,
        upload: Inspected,
        *,
        owner: str,
        model: str,
        gsd: float | None = None,
        part: Part = ALL,
    ) -> JobRecord:
        """Queue the upload in a `new_folder`."""
        record = JobRecord(
            id=folder.name,
            owner=owner,
            model=model,
            source=upload.path.name,
            kind=upload.kind,
            height=upload.height,
            width=upload.width,
            gsd=gsd,
            page=part.page,
            whole=part.whole,
            bytes=_size(folder),
            created=time.time(),
        )
        self._store.add(record)
        with self._changed:
            self._changed.notify()
        return record

    def get(self, job: str, owner: str) -> JobRecord:
        """Return a job."""
        record = self._store.get(job)
        if record is None or record.owner != owner:
            raise NotFoundError("there is no such job: it may have expired")
        return record

    def result(self, job: str, owner: str) -> Path:
        """Return the file of a finished job.

        Raises:
            NotReadyError: It is not finished, or has none.
        """
        record = self.get(job, owner)
        if record.state != "done":
            raise NotReadyError(f"the job is {record.state}: it has a result once it is done")
        return self._folder / job / RESULTS[record.kind]

    def remove(self, job: str, owner: str) -> None:
        """Cancel a job that has not ended; delete one that has."""
        record = self.get(job, owner)
        if record.state in ENDED:
            self._forget(job)
            return
        self._cancelled.add(job)
        self._store.end(job, "cancelled")
        if record.state == "queued":
            self._ended(job, "cancelled")

    def count(self, *states: State) -> int:
        """Return how many jobs are in these states."""
        return len(self._store.in_states(*states))

    def expires(self, record: JobRecord) -> float | None:
        """Return when an ended job is deleted (Unix time), or None."""
        return None if record.finished is None else record.finished + self._limits.result_hours * 3600

    def expire(self, abandoned: float | None = None) -> None:
        """Delete what has expired, and folders without a job.

        Args:
            abandoned: Age from which such a folder is deleted (s); None: the longest time of an upload, as
                another process may be receiving it.
        """
        now = time.time()
        for record in self._store.in_states(*ENDED):
            if (self.expires(record) or now) < now:
                self._forget(record.id)
        age = self._limits.job_upload_seconds if abandoned is None else abandoned
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder in self._arriving or self._store.get(folder.name) is not None:
                continue
            if now - folder.stat().st_mtime >= age:
                shutil.rmtree(folder, ignore_errors=True)

    def _work(self) -> None:
        while True:
            with self._changed:
                record = None
                while not self.stopping and (record := self._take()) is None:
                    self._changed.wait(LOOK_AGAIN)  # another process may have queued one
            if record is None:
                return
            self._run(record)

    def _take(self) -> JobRecord | None:
        try:
            return self._store.take()
        except OutputError as error:  # the disk is full: try again, there may be room later
            _log.warning("%s", error)
            return None

    def _run(self, record: JobRecord) -> None:
        folder = self._folder / record.id
        stored = 0.0

        def report(done: int, total: int) -> None:
            nonlocal stored
            if self.stopping or record.id in self._cancelled:
                raise Cancelled
            if (now := time.monotonic()) - stored < STORE_EVERY and done < total:
                return
            stored = now
            with contextlib.suppress(OutputError):  # progress is not worth a job
                self._store.report(record.id, done, total)
            current = self._store.get(record.id)
            if current is None or current.state != "running":  # cancelled by another process
                self._cancelled.add(record.id)
                raise Cancelled

        try:
            report(0, 0)
            source, output = folder / record.source, folder / RESULTS[record.kind]
            notes = self._translate(record, source, output, report)
            source.unlink()
            size = _size(folder)
            if self._store.total_bytes() - record.bytes + size > self._limits.result_mib * MIB:
                raise InsufficientStorageError("the space for results is used up: delete finished jobs")
            self._end(record.id, "done", size=size, notes=notes)
        except Cancelled:
            if record.id in self._cancelled:
                self._ended(record.id, "cancelled")
            else:
                with contextlib.suppress(OutputError):  # then the next start marks it as interrupted
                    self._store.put_back(record.id)
        except Exception as error:
            if kind_of(error) is INTERNAL:
                _log.exception("a job failed with an internal error")
            self._end(record.id, "failed", error)

    def _end(
        self,
        job: str,
        state: State,
        error: Exception | None = None,
        *,
        size: int = 0,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Record how a job ended, and try again while the disk is full."""
        if error is not None:  # first, as this may make room for the record
            shutil.rmtree(self._folder / job, ignore_errors=True)
        while True:
            try:
                problem = describe(error) if error else None
                self._store.end(job, state, size=size, error=problem, notes=notes)
                break
            except OutputError as failed:
                _log.warning("%s", failed)
                if self.stopping:
                    return
                time.sleep(LOOK_AGAIN)
        self._ended(job, state)

    def _ended(self, job: str, state: State) -> None:
        self._count(state)
        self._cancelled.discard(job)
        if state != "done":
            shutil.rmtree(self._folder / job, ignore_errors=True)

    def _forget(self, job: str) -> None:
        self._store.remove(job)
        shutil.rmtree(self._folder / job, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
