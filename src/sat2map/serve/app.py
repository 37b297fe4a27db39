"""The ASGI app, put together from the parts of a service."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import shutil
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from sat2map.errors import OutputError
from sat2map.inference.backends import EngineName
from sat2map.runtime.cpu import processor
from sat2map.serve import problems
from sat2map.serve.auth import ApiKeys
from sat2map.serve.batch_queue import Progress
from sat2map.serve.decoder import Decoder
from sat2map.serve.drawings import Drawings
from sat2map.serve.image_store import ImageStore
from sat2map.serve.input_files import Inspected
from sat2map.serve.job_runner import Jobs
from sat2map.serve.job_store import JobRecord
from sat2map.serve.memory import MemoryBudget, price
from sat2map.serve.middleware import (
    ConcurrencyLimitMiddleware,
    HeadMiddleware,
    MetricsMiddleware,
    SecurityHeadersMiddleware,
)
from sat2map.serve.openapi import describe_api
from sat2map.serve.pictures import Part
from sat2map.serve.prometheus import Metrics
from sat2map.serve.proxy import ProxyMiddleware
from sat2map.serve.routes.about import about_routes
from sat2map.serve.routes.images import image_routes
from sat2map.serve.routes.jobs import job_routes
from sat2map.serve.routes.maps_of_images import map_routes
from sat2map.serve.routes.page import add_page, not_found_page
from sat2map.serve.routes.translations import translate_routes
from sat2map.serve.serve_settings import MIB, ServeSettings
from sat2map.serve.served_models import Models
from sat2map.serve.service import Service
from sat2map.settings import Device

_log = logging.getLogger("sat2map.serve")
EXPIRE_EVERY = 60  # s
_ABOUT = """Turn satellite images into maps.

Errors are problem details (RFC 9457). 503 and 507 come with `Retry-After`."""


def create_service(
    settings: ServeSettings, *, engine: EngineName = "auto", device: Device = "auto"
) -> Service:
    """Open everything that a service needs.

    Raises:
        ModelFileError: A model cannot be opened.
        SettingsError: A folder or the API keys cannot be used.
        MissingExtraError: A dependency is not installed.
    """
    keys = ApiKeys.read(settings.api_keys) if settings.api_keys else None
    metrics, limits = Metrics(), settings.limits
    rasters = maps = None
    if settings.rasters is not None:  # GDAL takes a while to import
        from sat2map.serve.livemap import LiveMaps
        from sat2map.serve.raster_folder import RasterFolder

        rasters, maps = RasterFolder(settings.rasters), LiveMaps(limits.cache_mib * MIB, metrics)
        metrics.watch("map_cache_bytes", "Memory of live maps", lambda: maps.cached_bytes)
    memory = MemoryBudget(limits.memory_mib * MIB)
    decoder = Decoder(memory.total // 2, folder=settings.state / "now")
    models = Models.open(
        settings.models, limits, metrics, decoder, engine=engine, device=device, colors=settings.colors
    )
    jobs = Jobs(
        functools.partial(_translate_job, models=models, memory=memory),
        settings.state,
        limits,
        count=lambda state: metrics.jobs.labels(state).inc(),
        shared=settings.workers > 1,
    )
    metrics.watch("memory_reserved_bytes", "Memory reserved for images", lambda: memory.used)
    metrics.watch("queue_images", "Images that wait", lambda: sum(model.waiting for model in models.values()))
    metrics.watch("jobs_running", "Jobs that run", lambda: jobs.count("running"))
    metrics.watch("jobs_queued", "Jobs that wait", lambda: jobs.count("queued"))
    threads = ThreadPoolExecutor(min(4, processor().threads), thread_name_prefix="images")
    large = ThreadPoolExecutor(2, thread_name_prefix="large-images")
    images = ImageStore(settings.state, limits)
    drawings = Drawings(images, decoder, memory, limits, settings.state / "now")
    return Service(
        settings,
        models,
        jobs,
        images,
        drawings,
        metrics,
        memory,
        decoder,
        keys,
        rasters,
        maps,
        threads,
        large,
    )


def _translate_job(
    record: JobRecord,
    source: Path,
    output: Path,
    report: Progress,
    *,
    models: Models,
    memory: MemoryBudget,
) -> tuple[str, ...]:
    """Translate the upload of a job (see `job_runner.Translate`)."""
    model = models.find(record.model)
    with memory.account(patience=600) as reserve:
        if record.kind == "picture":
            shape = record.height, record.width
            reserve(price(model.header, shape, record.gsd, pixels=sys.maxsize))
        upload = Inspected(source, record.kind, record.height, record.width)
        part = Part(record.page, record.whole)
        return model.translate_file_now(upload, output, report, gsd=record.gsd, part=part)


def create_app(service: Service, *, runs_jobs: bool = True) -> FastAPI:
    """Create the ASGI app of a service; it starts and stops the service's jobs.

    `runs_jobs`: whether this process runs the jobs and cleans up the state folder.
    """
    settings = service.settings

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if runs_jobs:
            shutil.rmtree(settings.state / "now", ignore_errors=True)  # what a killed service has left
            service.jobs.start()
        service.ready = True
        expiring = asyncio.create_task(_expire(service))
        try:
            yield
        finally:
            service.stop()
            expiring.cancel()
            await asyncio.get_running_loop().run_in_executor(None, service.jobs.stop)
            for model in service.models.values():
                model.close()
            service.drawings.close()
            service.decoder.close()
            service.threads.shutdown(wait=False)
            service.large_threads.shutdown(wait=False)

    app = FastAPI(
        title="sat2map",
        version=version("sat2map"),
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page loads from a CDN; ours is in routes/page.py
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.include_router(translate_routes(service))
    app.include_router(image_routes(service))
    app.include_router(map_routes(service))
    app.include_router(job_routes(service))
    if service.rasters is not None and service.maps is not None:
        from sat2map.serve.routes.ogc import ogc_routes
        from sat2map.serve.routes.rasters import raster_routes
        from sat2map.serve.routes.tiles import TileSource
        from sat2map.serve.routes.wmts import wmts_routes

        source = TileSource(service, service.rasters, service.maps)
        for routes in (raster_routes, wmts_routes, ogc_routes):
            app.include_router(routes(source))
    app.include_router(about_routes(service))
    add_page(app, service)
    problems.install(app, not_found_page)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    limits = settings.limits
    app.add_middleware(
        ConcurrencyLimitMiddleware, limit=limits.concurrent_requests, uploads=limits.concurrent_uploads
    )
    app.add_middleware(HeadMiddleware)
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.allow_origins),
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-None-Match"],
            expose_headers=["ETag", "Location", "Retry-After", "Sat2map-Model", "Server-Timing"],
        )
    app.add_middleware(MetricsMiddleware, metrics=service.metrics)
    app.add_middleware(SecurityHeadersMiddleware, images=settings.base_map_origin)
    app.add_middleware(ProxyMiddleware, root_path=settings.root_path, trusted=settings.trusted_proxies)
    app.openapi = lambda: describe_api(app)  # type: ignore[method-assign]
    return app


async def _answer_nobody(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # not sent, as the client is gone; the log and the metrics show it


async def _expire(service: Service) -> None:
    while True:
        await asyncio.sleep(EXPIRE_EVERY)
        for store in (service.jobs, service.images):
            try:
                await asyncio.get_running_loop().run_in_executor(None, store.expire)
            except (OSError, OutputError) as error:
                _log.warning("%s", error)
