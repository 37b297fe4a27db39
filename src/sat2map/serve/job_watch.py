"""One look at a job for all that watch it, away from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import anyio.to_thread

from sat2map.serve.http_errors import NotFoundError

LOOK_AGAIN: Final = 0.25  # s between reads of a watched job

T = TypeVar("T")


class Watch(Generic[T]):
    """Reads the state of watched jobs: each once in `LOOK_AGAIN`, however many streams wait for it.

    A read may wait for the disk while a job's progress is stored, so it has a thread: in the event loop it
    would keep every other client waiting.
    """

    def __init__(self, read: Callable[[str, str], T]) -> None:
        """Take the function that reads a job by its id and owner."""
        self._read = read
        self._next: dict[tuple[str, str], asyncio.Task[T | None]] = {}

    async def next(self, job: str, owner: str) -> T | None:
        """Return the next state of a job, within `LOOK_AGAIN` and the time to read it; None: it is gone.

        Raises:
            OutputError: The records of jobs cannot be read.
        """
        key = job, owner
        if key not in self._next:
            self._next[key] = asyncio.create_task(self._look(key))
        return await asyncio.shield(self._next[key])  # one that leaves takes it from no other

    async def _look(self, key: tuple[str, str]) -> T | None:
        try:
            await asyncio.sleep(LOOK_AGAIN)
            return await anyio.to_thread.run_sync(self._read, *key)
        except NotFoundError:
            return None
        finally:
            del self._next[key]
