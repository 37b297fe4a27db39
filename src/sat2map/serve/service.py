"""Owns what all routes of one service share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Request

from sat2map.serve.auth import ApiKeys
from sat2map.serve.http_errors import BusyError
from sat2map.serve.job_runner import Jobs
from sat2map.serve.prometheus import Metrics
from sat2map.serve.serve_settings import ServeSettings
from sat2map.serve.served_models import Models

if TYPE_CHECKING:  # both need the `geo` extra, which a service without rasters does not
    from sat2map.serve.livemap import LiveMaps
    from sat2map.serve.raster_folder import RasterFolder

T = TypeVar("T")


class ClientGone(Exception):  # noqa: N818 - no mistake of anybody's
    """The client went away; nobody reads an answer."""


@dataclass
class Service:
    """The parts of a service.

    Attributes:
        settings: What it was told.
        models: What translates.
        jobs: What runs in the background.
        metrics: What is counted.
        keys: Who may ask; None: everybody.
        rasters: What is shown as live maps; None: nothing.
        maps: What computes them.
        threads: For decoding and encoding.
        ready: Whether it takes requests on: not before it has started, and not once it is told to stop.
    """

    settings: ServeSettings
    models: Models
    jobs: Jobs
    metrics: Metrics
    keys: ApiKeys | None
    rasters: RasterFolder | None
    maps: LiveMaps | None
    threads: ThreadPoolExecutor
    ready: bool = False

    def stop(self) -> None:
        """Finish what is running and take on nothing new; the server calls this when it is told to stop."""
        self.ready = False
        self.jobs.interrupt()


async def while_wanted(request: Request, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Return what `work` returns, unless the client goes away or it takes too long: then it is cancelled.

    Call this when the request's body has been read.

    Raises:
        ClientGone: The client went away.
        BusyError: It took longer than `seconds`.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientGone
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
