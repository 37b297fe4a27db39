"""Owns the ASGI app: it puts the parts of a service together."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from sat2map.inference.backends import EngineName
from sat2map.runtime.cpu import processor
from sat2map.serve import problems
from sat2map.serve.auth import ApiKeys
from sat2map.serve.job_runner import Jobs
from sat2map.serve.middleware import Admission, Measure, SecurityHeaders
from sat2map.serve.prometheus import Metrics
from sat2map.serve.routes.about import about_routes, add_page
from sat2map.serve.routes.jobs import job_routes
from sat2map.serve.routes.translations import translate_routes
from sat2map.serve.serve_settings import MIB, ServeSettings
from sat2map.serve.served_models import Models
from sat2map.serve.service import ClientGone, Service
from sat2map.settings import Device

EXPIRE_EVERY = 60  # s
_ABOUT = """Turn satellite images into maps.

Errors are problem details (RFC 9457). 503 always comes with `Retry-After`."""


def create_service(
    settings: ServeSettings, *, engine: EngineName = "auto", device: Device = "auto"
) -> Service:
    """Open all that a service needs.

    Raises:
        ModelFileError: A model cannot be opened.
        SettingsError: A folder or the API keys cannot be used.
        MissingExtraError: Something that is needed is not installed.
    """
    keys = ApiKeys.read(settings.api_keys) if settings.api_keys else None
    metrics, limits = Metrics(), settings.limits
    rasters = maps = None
    if settings.rasters is not None:  # rio-tiler takes a while to import, and not everybody needs it
        from sat2map.serve.livemap import LiveMaps
        from sat2map.serve.raster_folder import RasterFolder

        rasters, maps = RasterFolder(settings.rasters), LiveMaps(limits.cache_mib * MIB, metrics)
        metrics.watch("map_cache_bytes", "Memory of live maps", lambda: maps.cached_bytes)
    models = Models.open(settings.models, limits, metrics, engine=engine, device=device)
    jobs = Jobs(settings.state, models, limits, metrics)
    metrics.watch("queue_images", "Images that wait", lambda: sum(model.waiting for model in models.values()))
    metrics.watch("jobs_running", "Jobs that run", lambda: jobs.count("running"))
    metrics.watch("jobs_queued", "Jobs that wait", lambda: jobs.count("queued"))
    threads = ThreadPoolExecutor(min(4, processor().threads), thread_name_prefix="images")
    return Service(settings, models, jobs, metrics, keys, rasters, maps, threads)


def create_app(service: Service) -> FastAPI:
    """Make the ASGI app of a service; it starts and stops the service's jobs."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        shutil.rmtree(service.settings.state / "now", ignore_errors=True)  # what a killed service has left
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
            service.threads.shutdown(wait=False)

    app = FastAPI(
        title="sat2map",
        version=version("sat2map"),
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,  # its page comes from a CDN
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.include_router(translate_routes(service))
    app.include_router(job_routes(service))
    if service.rasters is not None and service.maps is not None:
        from sat2map.serve.routes.rasters import raster_routes

        app.include_router(raster_routes(service, service.rasters, service.maps))
    app.include_router(about_routes(service))
    add_page(app)
    problems.install(app)
    app.add_exception_handler(ClientGone, _nobody)
    app.add_exception_handler(ClientDisconnect, _nobody)
    app.add_middleware(Admission, limit=service.settings.limits.concurrent_requests)
    if service.settings.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.allow_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Location", "Retry-After", "Sat2map-Model", "Server-Timing"],
        )
    app.add_middleware(Measure, metrics=service.metrics)
    app.add_middleware(SecurityHeaders)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


async def _nobody(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # not sent: the client is gone; the log and the figures show it


async def _expire(service: Service) -> None:
    while True:
        await asyncio.sleep(EXPIRE_EVERY)
        await asyncio.get_running_loop().run_in_executor(None, service.jobs.expire)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if not app.openapi_schema:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schema["components"].setdefault("schemas", {})["Problem"] = problems.Problem.model_json_schema()
        app.openapi_schema = schema
    return app.openapi_schema
