"""Owns jobs: large images in the background, with progress, cancelling, and results that expire."""

from __future__ import annotations

import hmac
import logging
import secrets
import shutil
import threading
import time
from pathlib import Path

from sat2map.errors import Sat2MapError
from sat2map.serve.batching import Cancelled
from sat2map.serve.http_errors import BusyError, NotFoundError, NotReadyError
from sat2map.serve.input_files import RESULTS, Inspected, translate_file
from sat2map.serve.job_store import ENDED, JobStore, Record, State
from sat2map.serve.problems import describe
from sat2map.serve.prometheus import Metrics
from sat2map.serve.serve_settings import MIB, Limits
from sat2map.serve.served_models import Models

_log = logging.getLogger("sat2map.serve")


class Jobs:
    """The jobs of a service.

    A job's folder is `STATE/jobs/ID`, its record a row of `STATE/jobs.sqlite`. A job that was running when
    the service stopped is taken up again by the next one.
    """

    def __init__(self, state: Path, models: Models, limits: Limits, metrics: Metrics) -> None:
        """Open the state folder.

        Raises:
            SettingsError: It cannot be used.
        """
        self._store = JobStore(state / "jobs.sqlite")
        self._folder = state / "jobs"
        self._models = models
        self._limits = limits
        self._metrics = metrics
        self._progress: dict[str, tuple[int, int]] = {}
        self._cancelled: set[str] = set()
        self._arriving: dict[Path, int] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Take up what is queued."""
        self._store.put_back()
        self.expire()
        for number in range(self._limits.concurrent_jobs):
            thread = threading.Thread(target=self._work, name=f"job-{number}")
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop at the next tile; what was running is queued again."""
        self.interrupt()
        for thread in self._threads:
            thread.join()
        self._store.close()

    @property
    def stopping(self) -> bool:
        """Whether the service is about to end."""
        return self._stopping

    def interrupt(self) -> None:
        """Let running jobs stop at the next tile, and those who watch them know it."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    # What clients do

    def new_folder(self, declared: int) -> Path:
        """Make a folder for an upload; its name will be the job's.

        Args:
            declared: Bytes of the upload, or the most that it can have.

        Raises:
            BusyError: There are too many jobs, or no disk is left for another.
        """
        waiting = len(self._store.in_states("queued", "running")) + len(self._arriving)
        if waiting >= self._limits.queued_jobs:
            raise BusyError(f"{waiting} jobs are waiting already: try again later", retry_after=60)
        if (
            self._store.total_bytes() + sum(self._arriving.values()) + declared
            > self._limits.result_mib * MIB
        ):
            raise BusyError(
                "the disk for results is full: delete finished jobs, or try again later", retry_after=300
            )
        folder = self._folder / secrets.token_urlsafe(16)
        folder.mkdir(parents=True)
        self._arriving[folder] = declared
        return folder

    def add(
        self, folder: Path, upload: Inspected, *, owner: str, model: str, gsd: float | None = None
    ) -> Record:
        """Queue what was uploaded into a `new_folder`."""
        record = Record(
            id=folder.name,
            owner=owner,
            model=model,
            source=upload.path.name,
            kind=upload.kind,
            height=upload.height,
            width=upload.width,
            gsd=gsd,
            bytes=_size(folder),
            created=time.time(),
        )
        self._store.add(record)
        self._arriving.pop(folder, None)
        with self._changed:
            self._changed.notify()
        return record

    def drop(self, folder: Path) -> None:
        """Remove an upload that became no job."""
        self._arriving.pop(folder, None)
        shutil.rmtree(folder, ignore_errors=True)

    def get(self, job: str, owner: str) -> Record:
        """Return a job.

        Raises:
            NotFoundError: There is none, or it is another's.
        """
        record = self._store.get(job)
        if record is None or not hmac.compare_digest(record.owner, owner):
            raise NotFoundError("there is no such job: it may have expired")
        return record

    def progress(self, job: str) -> tuple[int, int]:
        """Return tiles done and tiles in all (0 while nobody knows)."""
        return self._progress.get(job, (0, 0))

    def result(self, job: str, owner: str) -> Path:
        """Return the file of a finished job.

        Raises:
            NotFoundError: There is no such job.
            NotReadyError: It is not finished, or has none.
        """
        record = self.get(job, owner)
        if record.state != "done":
            raise NotReadyError(f"the job is {record.state}: there is a result once it is done")
        return self._folder / job / RESULTS[record.kind]

    def remove(self, job: str, owner: str) -> None:
        """Cancel a job that has not ended, forget one that has.

        Raises:
            NotFoundError: There is no such job.
        """
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

    def expires(self, record: Record) -> float | None:
        """Return when an ended job is forgotten (Unix time)."""
        return None if record.finished is None else record.finished + self._limits.result_hours * 3600

    def expire(self) -> None:
        """Forget what has expired, and remove folders that no job has (any more)."""
        now = time.time()
        for record in self._store.in_states(*ENDED):
            if (self.expires(record) or now) < now:
                self._forget(record.id)
        if self._folder.is_dir():
            for folder in self._folder.iterdir():
                if folder not in self._arriving and self._store.get(folder.name) is None:
                    shutil.rmtree(folder, ignore_errors=True)

    # The threads

    def _work(self) -> None:
        while True:
            with self._changed:
                record = None
                while not self._stopping and (record := self._store.take()) is None:
                    self._changed.wait()
            if record is None:
                return
            self._run(record)

    def _run(self, record: Record) -> None:
        folder = self._folder / record.id

        def report(done: int, total: int) -> None:
            self._progress[record.id] = done, total
            if self._stopping or record.id in self._cancelled:
                raise Cancelled

        try:
            model = self._models.find(record.model)
            source, output = folder / record.source, folder / RESULTS[record.kind]
            report(0, 0)
            translate_file(
                model.patient,
                source,
                output,
                record.kind,
                (model.name, model.sha256),
                report,
                gsd=record.gsd,
            )
            source.unlink()
            size = _size(folder)
            if self._store.total_bytes() - record.bytes + size > self._limits.result_mib * MIB:
                raise BusyError("the disk for results is full: delete finished jobs, and send this one again")
            self._store.end(record.id, "done", size=size)
            self._ended(record.id, "done")
        except Cancelled:
            if record.id in self._cancelled:
                self._ended(record.id, "cancelled")
            else:
                self._store.put_back(record.id)
        except Sat2MapError as error:
            self._fail(record, error)
        except Exception as error:
            _log.exception("a job failed by a mistake of the service")
            self._fail(record, error)

    def _fail(self, record: Record, error: Exception) -> None:
        self._store.end(record.id, "failed", error=describe(error))
        self._ended(record.id, "failed")

    def _ended(self, job: str, state: str) -> None:
        self._metrics.jobs.labels(state).inc()
        self._cancelled.discard(job)
        if state != "done":
            self._progress.pop(job, None)
            shutil.rmtree(self._folder / job, ignore_errors=True)

    def _forget(self, job: str) -> None:
        self._store.remove(job)
        self._progress.pop(job, None)
        shutil.rmtree(self._folder / job, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
