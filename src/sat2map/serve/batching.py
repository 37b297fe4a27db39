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
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sat2map.engines import Engine
from sat2map.serve.errors import BusyError

Image = NDArray[np.uint8]
Progress = Callable[[int, int], None]
S = TypeVar("S")
R = TypeVar("R")


class Cancelled(Exception):  # noqa: N818 - no mistake of anybody's
    """Nobody waits for this work any more."""


class Gate:
    """Lets one thread at a time to the processor; the urgent go first.

    An engine uses all cores: two at once would only be slower, and PyTorch's is not safe to share. Large work
    takes a turn for each tile, so a small image never waits for more than one tile of it.
    """

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._taken = False
        self._urgent = 0

    @contextlib.contextmanager
    def turn(self, *, urgent: bool) -> Iterator[None]:
        """Wait for a turn and hold it."""
        with self._free:
            self._urgent += urgent
            self._free.wait_for(lambda: not self._taken and (urgent or not self._urgent))
            self._urgent -= urgent
            self._taken = True
        try:
            yield
        finally:
            with self._free:
                self._taken = False
                self._free.notify_all()


class GatedEngine:
    """An engine that waits for its turn (see `sat2map.engines.Engine`)."""

    def __init__(self, engine: Engine, gate: Gate, *, urgent: bool) -> None:
        self.header = engine.header
        self.name = engine.name
        self._engine = engine
        self._gate = gate
        self._urgent = urgent

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a batch when it is this one's turn."""
        with self._gate.turn(urgent=self._urgent):
            return self._engine(source)


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
    """A bounded queue, and the one thread that works it off.

    What is queued and alike runs together, and nothing ever waits for more to come. All of this lives in the
    event loop; only `run` is called in the thread.
    """

    def __init__(
        self,
        run: Callable[[list[Work[S, R]]], list[R]],
        *,
        length: int,
        batch: int = 1,
        alike: Callable[[S], Hashable] = lambda source: None,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Make a lane.

        Args:
            run: Does what is alike.
            length: How many may wait.
            batch: How many may run together.
            alike: Equal for what may run together.
            observe: Told the size of each batch.
        """
        self._run = run
        self._length = length
        self._batch = batch
        self._alike = alike
        self._observe = observe
        self._waiting: deque[Work[S, R]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lane")
        self._worker: asyncio.Task[None] | None = None
        self._seconds = 0.1  # an image takes about this long; a guess until one has run

    def __len__(self) -> int:
        return len(self._waiting)

    async def submit(self, source: S, progress: Progress = lambda done, total: None) -> tuple[R, Work[S, R]]:
        """Wait in the queue, run, and return the result; cancelling leaves the queue.

        Args:
            source: What to work on.
            progress: Called from another thread with tiles done and in all.

        Raises:
            BusyError: The queue is full.
        """
        if len(self._waiting) >= self._length:
            seconds = math.ceil(len(self._waiting) * self._seconds)
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
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
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
            results = await loop.run_in_executor(self._thread, self._attempt, batch)
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
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)
