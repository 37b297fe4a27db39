"""Work that many requests share: done once, cached by bytes, and cancelled when no request waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import numpy as np
from cachetools import LRUCache

from sat2map.serve.prometheus import Metrics


class SharedWork:
    """Computes values by key and keeps the last ones."""

    def __init__(self, cache_bytes: int, metrics: Metrics) -> None:
        self._cache: LRUCache[Hashable, Any] = LRUCache(cache_bytes, getsizeof=_size)
        self._running: dict[Hashable, tuple[asyncio.Task[Any], list[None]]] = {}
        self._metrics = metrics
        metrics.watch("map_cache_bytes", "Memory of live maps", lambda: self._cache.currsize)

    async def once(self, key: Hashable, compute: Callable[[], Awaitable[Any]]) -> Any:
        """Return what is cached, wait for what is computed already, or compute it.

        Work that the last who waited for it has left is cancelled: who pans a map leaves a lot of it.
        """
        kind = key[0] if isinstance(key, tuple) else ""
        if key in self._cache:
            self._metrics.tiles.labels(kind, "hit").inc()
            return self._cache[key]
        if key not in self._running:
            self._metrics.tiles.labels(kind, "miss").inc()
            self._running[key] = asyncio.ensure_future(self._keep(key, compute)), []
        task, waiting = self._running[key]
        waiting.append(None)
        try:
            return await asyncio.shield(task)
        finally:
            waiting.pop()
            if not waiting and not task.done():
                self._running.pop(key, None)
                task.cancel()

    async def _keep(self, key: Hashable, compute: Callable[[], Awaitable[Any]]) -> Any:
        task = asyncio.current_task()
        try:
            value = await compute()
        finally:
            if key in self._running and self._running[key][0] is task:
                del self._running[key]
        if _size(value) <= self._cache.maxsize:
            self._cache[key] = value
        return value


def _size(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    return len(value) if isinstance(value, bytes) else 64
