"""Shares the processor among calls of the network, with two priorities."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from sat2map.images.pixels import from_unit, to_unit
from sat2map.inference.backends import Engine, Uint8Backend

MAX_LOW_PRIORITY_WAIT = 0.5  # s; after this a tile of a large image goes before small images


class PrioritySemaphore:
    """A counting semaphore for threads with two priorities.

    An engine with one stream uses all cores, so it acquires all permits: two such calls at once would only be
    slower, and PyTorch is not safe to share. Large work acquires permits for each tile (low priority), so a
    small image (high priority) waits for at most one tile. Under constant high-priority load a low-priority
    caller waits for at most `MAX_LOW_PRIORITY_WAIT`.
    """

    def __init__(self, permits: int = 1) -> None:
        self.permits = permits
        self._changed = threading.Condition()
        self._free = permits
        self._high_waiting = 0
        self._overdue = 0

    @contextlib.contextmanager
    def acquire(self, permits: int, *, high_priority: bool) -> Iterator[None]:
        """Wait for `permits` permits and hold them for the `with` block."""
        with self._changed:
            if high_priority:
                self._high_waiting += 1
                self._changed.wait_for(lambda: permits <= self._free and not self._overdue)
                self._high_waiting -= 1
            elif not self._changed.wait_for(
                lambda: permits <= self._free and not self._high_waiting, MAX_LOW_PRIORITY_WAIT
            ):
                self._overdue += 1
                self._changed.wait_for(lambda: permits <= self._free)
                self._overdue -= 1
            self._free -= permits
        try:
            yield
        finally:
            with self._changed:
                self._free += permits
                self._changed.notify_all()


class ScheduledEngine:
    """An engine that acquires permits for each call (see `sat2map.inference.backends.Uint8Backend`)."""

    def __init__(self, engine: Engine, semaphore: PrioritySemaphore, *, high_priority: bool) -> None:
        self.header = engine.header
        self.name = engine.name
        self.streams = engine.streams
        self._engine = engine
        self._predict = engine.predict if isinstance(engine, Uint8Backend) else None
        self._semaphore = semaphore
        self._high_priority = high_priority

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a batch, float32 (n, bands, h, w) in [-1, 1], once permits are free."""
        with self._permits():
            return self._engine(source)

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate a batch, uint8 (n, h, w, bands), once permits are free."""
        if self._predict is not None:
            with self._permits():
                return self._predict(pixels)
        return from_unit(self(to_unit(pixels))[:, : self.header.generator.target_bands])

    def _permits(self) -> AbstractContextManager[None]:
        permits = self._semaphore.permits // self.streams
        return self._semaphore.acquire(permits, high_priority=self._high_priority)
