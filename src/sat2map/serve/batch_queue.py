"""A bounded queue in front of the network that runs what is queued and alike as one batch."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sat2map.serve.http_errors import BusyError

Image = NDArray[np.uint8]
Progress = Callable[[int, int], None]

S = TypeVar("S")
R = TypeVar("R")


class Cancelled(Exception):  # noqa: N818 - not an error
    """The work is no longer wanted; raised by `progress` to end it."""


@dataclass
class Work(Generic[S, R]):
    """One item of a queue.

    Attributes:
        source: The input: an image, uint8 (h, w, bands), or a file.
        progress: Called from another thread with tiles done and in all; raises `Cancelled` to end the work.
        waited: Time in the queue (s).
        ran: Time in the network with the rest of its batch (s).
    """

    source: S
    progress: Progress
    result: asyncio.Future[R]
    queued: float = field(default_factory=time.perf_counter)
    waited: float = 0.0
    ran: float = 0.0


def one_by_one(run: Callable[[Work[S, R]], R]) -> Callable[[list[Work[S, R]]], list[R]]:
    """Return a function for batches of one for single items."""
    return lambda batch: [run(work) for work in batch]


class BatchQueue(Generic[S, R]):
    """A bounded queue and the threads that process it.

    Items with equal `batch_key` that are in the queue run together; an item never waits for others to arrive.
    All state lives in the event loop; only `run` is called in the threads.
    """

    def __init__(
        self,
        run: Callable[[list[Work[S, R]]], list[R]],
        *,
        length: int,
        threads: int = 1,
        batch: int = 1,
        batch_key: Callable[[S], Hashable] = lambda source: None,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Create an empty queue.

        Args:
            run: Processes a batch and returns one result for each item.
            length: Largest number of waiting items.
            threads: Number of batches that run at the same time.
            batch: Largest number of items in a batch.
            batch_key: Items with equal keys may run together.
            observe: Called with the size of each batch.
        """
        self._run = run
        self._length = length
        self._threads = threads
        self._batch = batch
        self._batch_key = batch_key
        self._observe = observe
        self._waiting: deque[Work[S, R]] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="batch")
        self._workers: set[asyncio.Task[None]] = set()
        self._running = 0
        self._seconds = 0.1  # smoothed time of an item; a guess until the first has run

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_backlog(self) -> bool:
        """Whether more than one item waits or runs."""
        return len(self._waiting) + self._running > 1

    async def submit(self, source: S, progress: Progress = lambda done, total: None) -> tuple[R, Work[S, R]]:
        """Queue an item and return its result; cancelling removes it from the queue.

        `progress` is called from another thread with the tiles done and the number of tiles.

        Raises:
            BusyError: The queue is full.
        """
        if len(self._waiting) >= self._length:
            seconds = math.ceil(len(self._waiting) * self._seconds / self._threads)
            raise BusyError(
                f"{len(self._waiting)} requests are waiting already; try again in {seconds} s",
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
        """Run a batch; if it fails, run each item alone, so that one bad item fails alone."""
        try:
            return [*self._run(batch)]
        except Exception as error:
            if len(batch) == 1:
                return [error]
            return [self._attempt([work])[0] for work in batch]

    def _take(self) -> list[Work[S, R]]:
        """Remove the oldest item and those with the same key from the queue."""
        key = self._batch_key(self._waiting[0].source)
        batch = [work for work in self._waiting if self._batch_key(work.source) == key][: self._batch]
        taken = {id(work) for work in batch}
        self._waiting = deque(work for work in self._waiting if id(work) not in taken)
        return batch

    def close(self) -> None:
        """Stop accepting work and let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
