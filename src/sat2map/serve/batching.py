"""Owns the way to the network: bounded queues, batches of what is queued, and turns."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sat2map.images.pixels import from_unit, to_unit
from sat2map.inference.backends import Engine, Uint8Backend
from sat2map.serve.http_errors import BusyError

Image = NDArray[np.uint8]
Progress = Callable[[int, int], None]
PATIENCE = 0.5  # s

S = TypeVar("S")
R = TypeVar("R")


class Cancelled(Exception):  # noqa: N818 - no mistake of anybody's
    """Nobody waits for this work any more."""


class Gate:
    """Gives out the processor's places; the urgent go first.

    An engine of one stream uses all cores and takes all places: two at once would only be slower, and
    PyTorch's is not safe to share. Large work takes a turn for each tile, so a small image never waits for
    more than one tile of it; and where small ones never end, a tile waits no longer than `PATIENCE`.
    """

    def __init__(self, places: int = 1) -> None:
        self.places = places
        self._changed = threading.Condition()
        self._free = places
        self._urgent = 0
        self._impatient = 0

    @contextlib.contextmanager
    def turn(self, places: int, *, urgent: bool) -> Iterator[None]:
        """Wait for that many places and hold them."""
        with self._changed:
            if urgent:
                self._urgent += 1
                self._changed.wait_for(lambda: places <= self._free and not self._impatient)
                self._urgent -= 1
            elif not self._changed.wait_for(lambda: places <= self._free and not self._urgent, PATIENCE):
                self._impatient += 1
                self._changed.wait_for(lambda: places <= self._free)
                self._impatient -= 1
            self._free -= places
        try:
            yield
        finally:
            with self._changed:
                self._free += places
                self._changed.notify_all()


class GatedEngine:
    """An engine that waits for its turn (see `sat2map.inference.backends.Uint8Backend`)."""

    def __init__(self, engine: Engine, gate: Gate, *, urgent: bool) -> None:
        self.header = engine.header
        self.name = engine.name
        self.streams = engine.streams
        self._engine = engine
        self._predict = engine.predict if isinstance(engine, Uint8Backend) else None
        self._gate = gate
        self._urgent = urgent

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a batch when it is this one's turn."""
        with self._turn():
            return self._engine(source)

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate a batch of pictures when it is this one's turn."""
        if self._predict is not None:
            with self._turn():
                return self._predict(pixels)
        return from_unit(self(to_unit(pixels))[:, : self.header.generator.target_bands])

    def _turn(self) -> AbstractContextManager[None]:
        return self._gate.turn(self._gate.places // self.streams, urgent=self._urgent)


@dataclass
class Work(Generic[S, R]):
    """One thing to do on its way.

    Attributes:
        source: What to work on: an image, uint8 (h, w, bands), or a file.
        progress: Called from another thread with tiles done and in all; raises `Cancelled` to end the work.
        waited: Seconds in the queue.
        ran: Seconds in the network, together with the others of its batch.
    """

    source: S
    progress: Progress
    result: asyncio.Future[R]
    queued: float = field(default_factory=time.perf_counter)
    waited: float = 0.0
    ran: float = 0.0


class Lane(Generic[S, R]):
    """A bounded queue, and the threads that work it off.

    What is queued and alike runs together, and nothing ever waits for more to come. All of this lives in the
    event loop; only `run` is called in the threads.
    """

    def __init__(
        self,
        run: Callable[[list[Work[S, R]]], list[R]],
        *,
        length: int,
        threads: int = 1,
        batch: int = 1,
        alike: Callable[[S], Hashable] = lambda source: None,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Make a lane.

        Args:
            run: Does what is alike.
            length: How many may wait.
            threads: How many batches may run at the same time.
            batch: How many may run together.
            alike: Equal for what may run together.
            observe: Told the size of each batch.
        """
        self._run = run
        self._length = length
        self._threads = threads
        self._batch = batch
        self._alike = alike
        self._observe = observe
        self._waiting: deque[Work[S, R]] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="lane")
        self._workers: set[asyncio.Task[None]] = set()
        self._running = 0
        self._seconds = 0.1  # an image takes about this long; a guess until one has run

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def crowded(self) -> bool:
        """Whether there is more than one image, those that run counted too."""
        return len(self._waiting) + self._running > 1

    async def submit(self, source: S, progress: Progress = lambda done, total: None) -> tuple[R, Work[S, R]]:
        """Wait in the queue, run, and return the result; cancelling leaves the queue.

        Args:
            source: What to work on.
            progress: Called from another thread with tiles done and in all.

        Raises:
            BusyError: The queue is full.
        """
        if len(self._waiting) >= self._length:
            seconds = math.ceil(len(self._waiting) * self._seconds / self._threads)
            raise BusyError(
                f"{len(self._waiting)} others are waiting already: try again in {seconds} s",
                retry_after=max(1, seconds),
            )
        gone = threading.Event()

        def report(done: int, total: int) -> None:
            if gone.is_set():
                raise Cancelled
            progress(done, total)

        work: Work[S, R] = Work(source, report, asyncio.get_running_loop().create_future())
        self._waiting.append(work)
        self._workers = {worker for worker in self._workers if not worker.done()}
        if len(self._workers) < self._threads:
            self._workers.add(asyncio.create_task(self._work()))
        try:
            return await work.result, work
        except asyncio.CancelledError:
            gone.set()
            with contextlib.suppress(ValueError):
                self._waiting.remove(work)
            raise

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._take()
            started = time.perf_counter()
            for work in batch:
                work.waited = started - work.queued
            self._observe(len(batch))
            self._running += len(batch)
            results = await loop.run_in_executor(self._pool, self._attempt, batch)
            self._running -= len(batch)
            for work, fake in zip(batch, results, strict=True):
                work.ran = time.perf_counter() - started
                if work.result.done():  # cancelled
                    continue
                if isinstance(fake, Exception):
                    work.result.set_exception(fake)
                else:
                    work.result.set_result(fake)
            self._seconds = 0.8 * self._seconds + 0.2 * (time.perf_counter() - started) / len(batch)

    def _attempt(self, batch: list[Work[S, R]]) -> list[R | Exception]:
        """Run a batch; where it fails, run each by itself, so that a bad one spoils nobody else's."""
        try:
            return [*self._run(batch)]
        except Exception as error:
            if len(batch) == 1:
                return [error]
            return [self._attempt([work])[0] for work in batch]

    def _take(self) -> list[Work[S, R]]:
        """Take the one that waited longest, and those that are like it."""
        kind = self._alike(self._waiting[0].source)
        batch = [work for work in self._waiting if self._alike(work.source) == kind][: self._batch]
        taken = {id(work) for work in batch}
        self._waiting = deque(work for work in self._waiting if id(work) not in taken)
        return batch

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
