"""Bulk tasks on a Ray cluster: Ray Data hands them to actors that each hold the model.

What goes through Ray are names of files and what became of them, a few hundred bytes a task. Pixels are
read, translated and written by the actors themselves, strip by strip, so memory is bounded by what one
raster needs, and the object store stays empty. A worker that dies is replaced and its tasks are done again:
Ray Data retries what a dead actor was working on, and `CrashCounter` bounds how often a file may do this.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from sat2map.bulk.manifest import TaskRecord
from sat2map.bulk.store import scratch_folder
from sat2map.bulk.tasks import Task
from sat2map.bulk.worker import Worker, WorkOptions
from sat2map.errors import SettingsError
from sat2map.extras import require
from sat2map.models.model_file import read_header

KNOCK_SECONDS = 10.0
MAX_BLOCKS = 10_000  # tasks are handed out one by one up to here, and several at a time beyond


class RayBackend:
    """A `sat2map.bulk.pipeline.Backend`: tasks go to the actors of a Ray cluster."""

    def __init__(self, address: str, *, workers: int = 0, worker: type | None = None) -> None:
        """Name the cluster.

        Args:
            address: `local` starts one on this machine; `auto` is the one this machine belongs to; else that
                of its head, such as ray://head:10001.
            workers: Actors; 0: as many as the cluster's cores (or GPUs) allow.
            worker: What they run instead of a `RayWorker`, for measurements.
        """
        self._address, self._workers, self._worker = address, workers, worker or RayWorker

    def __call__(self, options: WorkOptions, tasks: Sequence[Task]) -> Iterator[TaskRecord]:
        """Do tasks.

        Raises:
            MissingExtraError: Ray is not installed.
            SettingsError: There is no cluster at the address.
            ModelFileError: The model cannot be used.
        """
        require("ray", "a Ray cluster", "ray")
        read_header(options.model)  # better said here, in a sentence, than by every worker
        # Nothing is reported to anybody unless the user wants it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        # Other machines see the folder and the model under the same absolute paths.
        options = replace(
            options,
            folder=options.folder.absolute(),
            model=options.model.absolute(),
            engine_options=replace(options.engine_options, threads=options.engine_options.threads or 1),
        )
        started = not ray.is_initialized()
        if started:
            self._join(options.engine_options.threads)
        try:
            yield from self._stream(options, tasks)
        finally:
            if started:
                ray.shutdown()

    def _join(self, threads: int) -> None:
        import ray

        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if self._address == "local":
            # Said by the user, so kept: more workers than cores share them.
            cores = self._workers * threads or None
            ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
            return
        try:
            _check_reachable(self._address)
            ray.init(address=self._address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise SettingsError(
                f"there is no Ray cluster at {self._address} ({first})",
                hint="local starts one on this machine",
                setting="ray",
            ) from None

    def _stream(self, options: WorkOptions, tasks: Sequence[Task]) -> Iterator[TaskRecord]:
        import ray
        from ray.data import ActorPoolStrategy, DataContext, from_items
        from ray.exceptions import RayError

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        engine = options.engine_options
        gpus = 1 if engine.device == "cuda" else 0
        there = ray.cluster_resources()  # type: ignore[no-untyped-call]
        most = int(there.get("GPU", 0)) if gpus else int(there.get("CPU", 1)) // engine.threads
        if gpus and not most:
            raise SettingsError(
                f"the Ray cluster at {self._address} has no GPU", hint="use the CPU", setting="device"
            )
        workers = max(1, min(self._workers or most, len(tasks)))
        context = DataContext.get_current().copy()
        context.enable_progress_bars = False
        with DataContext.current(context):
            rows = from_items(
                [{"task": task.to_json()} for task in tasks], override_num_blocks=min(len(tasks), MAX_BLOCKS)
            ).map(
                self._worker,  # a class makes actors
                fn_constructor_args=(options,),
                compute=ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
                num_cpus=engine.threads,
                num_gpus=gpus or None,
            )
            try:
                for row in rows.iter_rows():
                    yield TaskRecord.from_json(row["record"])
            except RayError as error:
                raise SettingsError(
                    f"the workers of the Ray cluster at {self._address} failed ({_innermost(error)})",
                    hint="every machine needs this sat2map, the same extras, and model and folder under the "
                    "same paths",
                ) from None


class RayWorker:
    """A `Worker` in an actor, with rows for tasks and records."""

    def __init__(self, options: WorkOptions) -> None:
        if options.store:  # the folder is one of the machine's own
            options = replace(options, folder=scratch_folder(options.store, options.folder.name))
        self._worker = Worker(options)

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        """Do the task of a row."""
        return {"record": self._worker(Task.from_json(row["task"])).to_json()}


def _innermost(error: BaseException) -> str:
    """Return the last line of what Ray says: the error in the worker, below its stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _check_reachable(address: str) -> None:
    """Raise OSError if no cluster answers; Ray itself would retry for minutes."""
    where = urlsplit(address if "://" in address else f"ray://{address}")
    if where.hostname is not None and where.port is not None:
        socket.create_connection((where.hostname, where.port), timeout=KNOCK_SECONDS).close()
