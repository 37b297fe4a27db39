"""The parts of a service that its routes share."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from sat2map.inference.backends import EngineName
from sat2map.runtime.cpu import processor
from sat2map.serve.auth import ApiKeys
from sat2map.serve.batch_queue import Progress
from sat2map.serve.decoder import Decoder
from sat2map.serve.drawings import Drawings
from sat2map.serve.http_errors import BusyError
from sat2map.serve.image_store import ImageStore
from sat2map.serve.input_files import Inspected
from sat2map.serve.job_runner import Jobs
from sat2map.serve.job_store import JobRecord
from sat2map.serve.memory import MemoryBudget, price
from sat2map.serve.pictures import Part
from sat2map.serve.prometheus import Metrics
from sat2map.serve.serve_settings import MIB, ServeSettings
from sat2map.serve.served_models import Models
from sat2map.settings import Device

if TYPE_CHECKING:  # these need the `geo` extra, a service without rasters does not
    from sat2map.serve.livemap import LiveMaps
    from sat2map.serve.raster_folder import RasterFolder

T = TypeVar("T")


class Service:
    """The parts of a service.

    Without keys none is needed; rasters and maps are those of the live map, if there is one. It is `ready`
    for requests once it has started, and no more once it stops.
    """

    def __init__(
        self, settings: ServeSettings, *, engine: EngineName = "auto", device: Device = "auto"
    ) -> None:
        """Open everything that it needs.

        Raises:
            ModelFileError: A model cannot be opened.
            SettingsError: A folder or the API keys cannot be used.
            MissingExtraError: A dependency is not installed.
        """
        self.settings, self.ready = settings, False
        limits, now = settings.limits, settings.state / "now"
        self.keys = ApiKeys.read(settings.api_keys) if settings.api_keys else None
        self.metrics = metrics = Metrics()
        self.rasters: RasterFolder | None = None
        self.maps: LiveMaps | None = None
        if settings.rasters is not None:  # GDAL takes a while to import
            from sat2map.serve.livemap import LiveMaps
            from sat2map.serve.raster_folder import RasterFolder

            self.rasters = RasterFolder(settings.rasters)
            self.maps = LiveMaps(limits.cache_mib * MIB, metrics)
        self.memory = MemoryBudget(limits.memory_mib * MIB)
        self.decoder = Decoder(self.memory.total // 2, folder=now)
        self.models = Models(
            settings.models,
            limits,
            metrics,
            self.decoder,
            engine=engine,
            device=device,
            colors=settings.colors,
        )
        self.jobs = Jobs(
            self._translate_job,
            settings.state,
            limits,
            count=lambda state: metrics.jobs.labels(state).inc(),
            shared=settings.workers > 1,
        )
        self.images = ImageStore(settings.state, limits)
        self.drawings = Drawings(self.images, self.decoder, self.memory, limits, now)
        self.threads = ThreadPoolExecutor(min(4, processor().threads), thread_name_prefix="images")
        self.large_threads = ThreadPoolExecutor(2, thread_name_prefix="large-images")
        metrics.watch("memory_reserved_bytes", "Memory reserved for images", lambda: self.memory.used)
        metrics.watch(
            "queue_images", "Images that wait", lambda: sum(one.waiting for one in self.models.values())
        )
        metrics.watch("jobs_running", "Jobs that run", lambda: self.jobs.count("running"))
        metrics.watch("jobs_queued", "Jobs that wait", lambda: self.jobs.count("queued"))

    def _translate_job(
        self, record: JobRecord, source: Path, output: Path, report: Progress
    ) -> tuple[str, ...]:
        """Translate the upload of a job (see `job_runner.Translate`)."""
        model = self.models.find(record.model)
        with self.memory.account(patience=600) as reserve:
            if record.kind == "picture":
                shape = record.height, record.width
                reserve(price(model.header, shape, record.gsd, pixels=sys.maxsize))
            upload = Inspected(source, record.kind, record.height, record.width)
            part = Part(record.page, record.whole)
            return model.translate_file_now(upload, output, report, gsd=record.gsd, part=part)

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

    async def close(self) -> None:
        """Stop, wait for the jobs to stop too, and let the threads end."""
        self.stop()
        await asyncio.get_running_loop().run_in_executor(None, self.jobs.stop)
        for model in self.models.values():
            model.close()
        self.drawings.close()
        self.decoder.close()
        self.threads.shutdown(wait=False)
        self.large_threads.shutdown(wait=False)


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
