"""The parts of a service that its routes share."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from sat2map.serve.auth import ApiKeys
from sat2map.serve.decoder import Decoder
from sat2map.serve.drawings import Drawings
from sat2map.serve.http_errors import BusyError
from sat2map.serve.image_store import ImageStore
from sat2map.serve.job_runner import Jobs
from sat2map.serve.memory import MemoryBudget
from sat2map.serve.prometheus import Metrics
from sat2map.serve.serve_settings import ServeSettings
from sat2map.serve.served_models import Models

if TYPE_CHECKING:  # these need the `geo` extra, a service without rasters does not
    from sat2map.serve.livemap import LiveMaps
    from sat2map.serve.raster_folder import RasterFolder

T = TypeVar("T")


@dataclass
class Service:
    """The parts of a service.

    Without keys none is needed; rasters and maps are those of the live map, if there is one. It is `ready`
    for requests once it has started, and no more once it stops.
    """

    settings: ServeSettings
    models: Models
    jobs: Jobs
    images: ImageStore
    drawings: Drawings
    metrics: Metrics
    memory: MemoryBudget
    decoder: Decoder
    keys: ApiKeys | None
    rasters: RasterFolder | None
    maps: LiveMaps | None
    threads: ThreadPoolExecutor
    large_threads: ThreadPoolExecutor
    ready: bool = False

    async def run_in_thread(self, function: Callable[..., T], *values: object, large: bool = False) -> T:
        """Run a function in a thread: those for `large` images are others, so small images do not wait."""
        threads = self.large_threads if large else self.threads
        return await asyncio.get_running_loop().run_in_executor(threads, function, *values)

    @contextlib.asynccontextmanager
    async def temporary_folder(self) -> AsyncIterator[Path]:
        """Yield a new folder for the files of one request, and remove it afterwards."""
        folder = self.settings.state / "now" / secrets.token_urlsafe(16)
        await self.run_in_thread(functools.partial(folder.mkdir, parents=True))
        try:
            yield folder
        finally:
            # Cancelled work may still write there until its next tile; the next start removes that.
            remove = functools.partial(shutil.rmtree, folder, ignore_errors=True)
            await asyncio.shield(self.run_in_thread(remove))

    def stop(self) -> None:
        """Finish what is running and accept nothing new."""
        self.ready = False
        self.jobs.interrupt()


async def run_until_disconnected(request: Request, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Return the result of `work`; cancel it if the client disconnects or it takes too long.

    Call this after the body of the request has been read.

    Raises:
        ClientDisconnect: The client disconnected.
        BusyError: It took longer than `seconds`.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientDisconnect
        raise BusyError(
            f"this took longer than {seconds:g} s: try again, or send a large image as a job", retry_after=5
        )
    finally:
        for future in (task, gone):
            future.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
