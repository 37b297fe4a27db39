"""The ASGI app, put together from the parts of a service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from sat2map.errors import OutputError
from sat2map.serve import problems
from sat2map.serve.middleware import (
    ConcurrencyLimitMiddleware,
    HeadMiddleware,
    MetricsMiddleware,
    SecurityHeadersMiddleware,
)
from sat2map.serve.openapi import describe_api
from sat2map.serve.proxy import ProxyMiddleware
from sat2map.serve.routes.about import about_routes
from sat2map.serve.routes.images import image_routes
from sat2map.serve.routes.jobs import job_routes
from sat2map.serve.routes.maps_of_images import map_routes
from sat2map.serve.routes.page import add_page, not_found_page
from sat2map.serve.routes.translations import translate_routes
from sat2map.serve.service import Service

_log = logging.getLogger("sat2map.serve")
EXPIRE_EVERY = 60  # s
_ABOUT = """Turn satellite images into maps.

Errors are problem details (RFC 9457). 503 and 507 come with `Retry-After`."""


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
            expiring.cancel()
            await service.close()

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
