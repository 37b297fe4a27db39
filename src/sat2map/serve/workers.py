"""Starts a service: in this process, or in several worker processes that share one socket."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

from sat2map.inference.backends import EngineName
from sat2map.serve.job_store import JobStore
from sat2map.serve.parent import when_parent_ends
from sat2map.serve.serve_settings import ServeSettings
from sat2map.serve.server import address_of, listen, run
from sat2map.serve.service import Service
from sat2map.settings import Device

RESTART_AFTER = 1.0  # s; a worker that died is replaced, but not in a tight loop


def serve_forever(
    settings: ServeSettings,
    host: str,
    port: int,
    *,
    engine: EngineName = "auto",
    device: Device = "auto",
    notes: Sequence[str] = (),
) -> None:
    """Serve until SIGTERM or Ctrl-C; `notes` are printed at the start, and port 0 is any free one.

    Raises:
        SettingsError: The address, a folder or the keys cannot be used.
        ModelFileError: A model cannot be opened.
    """
    with listen(host, port) as listener:
        if settings.workers == 1:
            service = Service(settings, engine=engine, device=device)
            _announce(settings, listener, notes)
            run(service, listener)
            return
        # Held while the workers run: they share the records of jobs, but no second service may.
        lock = JobStore(settings.state / "workers.sqlite")
        try:
            _supervise(settings, listener, engine, device, notes)
        finally:
            lock.close()


def _supervise(
    settings: ServeSettings, listener: socket.socket, engine: EngineName, device: Device, notes: Sequence[str]
) -> None:
    """Keep the workers running until a signal; the first one also runs the jobs."""
    context = multiprocessing.get_context("spawn")
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    def start(number: int) -> BaseProcess:
        process = context.Process(
            target=_work, args=(settings, listener, engine, device, number == 0), name=f"worker-{number}"
        )
        process.start()
        return process

    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, stop)
    workers = [start(number) for number in range(settings.workers)]
    _announce(settings, listener, notes)
    while not stopping:
        time.sleep(RESTART_AFTER)
        for number, worker in enumerate(workers):
            if not worker.is_alive() and not stopping:
                workers[number] = start(number)
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(settings.limits.shutdown_seconds + 5)
        with contextlib.suppress(ValueError):
            worker.kill()


def _work(
    settings: ServeSettings, listener: socket.socket, engine: EngineName, device: Device, runs_jobs: bool
) -> None:
    when_parent_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
    run(Service(settings, engine=engine, device=device), listener, runs_jobs=runs_jobs)


def _announce(settings: ServeSettings, listener: socket.socket, notes: Sequence[str]) -> None:
    names = ", ".join(settings.models)
    print(f"serving {names} at {address_of(listener)}  (the page; stop with Ctrl-C)", flush=True)
    for note in notes:
        print(f"note: {note}", flush=True)
