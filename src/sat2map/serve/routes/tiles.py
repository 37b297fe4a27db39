"""What the routes of tiles share: finding a layer, and answering with a tile, only if the client lacks it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from fastapi.responses import Response

from sat2map.errors import ImageError
from sat2map.geo.web_mercator import HIGHEST_ZOOM
from sat2map.serve.conditional import ConditionalRoute, if_changed
from sat2map.serve.http_errors import NotFoundError, UnauthorizedError
from sat2map.serve.livemap import LiveMaps
from sat2map.serve.map_layers import MapLayer, check_tile, find_layer, layers_of
from sat2map.serve.openapi import documented
from sat2map.serve.raster_folder import RasterFolder
from sat2map.serve.routes.access import BINARY, check_key
from sat2map.serve.service import Service, run_until_disconnected
from sat2map.serve.vector_tiles import MEDIA_TYPE

LayerName = Annotated[
    str,
    InPath(
        max_length=200,
        description="Name of a layer: NAME of a raster for its map, or NAME:classes, NAME:confidence, "
        "NAME:imagery.",
        examples=["town"],
    ),
]
Zoom = Annotated[int, InPath(ge=0, le=HIGHEST_ZOOM, examples=[16])]
Number = Annotated[int, InPath(ge=0, lt=1 << HIGHEST_ZOOM, examples=[19300])]
FAILURES = documented(UnauthorizedError, NotFoundError, ImageError)


def answers(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` of a route that gives binary content, or 304."""
    content = {kind: {"schema": BINARY} for kind in media_types}
    return {200: {"content": content}, 304: {"description": "The client has this already."}, **FAILURES}


@dataclass(frozen=True)
class TileSource:
    """The layers of a service and their tiles."""

    service: Service
    rasters: RasterFolder
    maps: LiveMaps

    def router(self, prefix: str = "", tag: str = "live map") -> APIRouter:
        """Return a router whose routes accept read-only keys and answer conditional requests."""
        keys = [Depends(check_key(self.service.keys, tiles=True))]
        return APIRouter(
            dependencies=keys,
            prefix=prefix,
            tags=[tag],
            route_class=ConditionalRoute,
            responses=documented(UnauthorizedError),
        )

    async def layers(self) -> list[MapLayer]:
        """Return the layers of all rasters that can be shown, drawn by the default model."""
        found, model = await anyio.to_thread.run_sync(self.rasters.all), self.service.models.find(None)
        shown = [raster for raster in found.values() if not isinstance(raster, str)]
        return [layer for raster in shown for layer in layers_of(raster, model)]

    async def find(self, name: str, model: str | None = None) -> MapLayer:
        """Return a layer by name; raises what `map_layers.find_layer` does."""
        found = await anyio.to_thread.run_sync(self.rasters.all)
        return find_layer(found, name, self.service.models.find(model))

    async def find_classes(self, name: str, model: str | None = None) -> MapLayer:
        """Return a layer that has vector tiles; raises what `find` does."""
        layer = await self.find(name, model)
        if layer.kind != "classes":
            raise NotFoundError(f"vector tiles are made of classes: ask for {layer.raster.name}:classes")
        return layer

    async def tile(self, request: Request, layer: MapLayer, zoom: int, x: int, y: int) -> Response:
        """Answer with a tile as PNG."""
        check_tile(zoom, x, y)
        work = self.maps.tile(layer, zoom, x, y)
        return await self.answer(request, layer.etag(zoom, x, y), "image/png", work)

    async def vector_tile(self, request: Request, layer: MapLayer, zoom: int, x: int, y: int) -> Response:
        """Answer with a vector tile."""
        check_tile(zoom, x, y)
        work = self.maps.vector_tile(layer, zoom, x, y)
        return await self.answer(request, layer.etag("vector", zoom, x, y), MEDIA_TYPE, work)

    async def answer(
        self, request: Request, etag: str, media_type: str, work: Coroutine[Any, Any, bytes]
    ) -> Response:
        """Answer with what `work` returns; it does not begin where the client has it already."""
        who = "public" if self.service.keys is None else "private"

        async def respond() -> Response:
            seconds = self.service.settings.limits.request_seconds
            content = await run_until_disconnected(request, work, seconds)
            headers = {"Cache-Control": f"{who}, max-age=3600"}
            return Response(content, media_type=media_type, headers=headers)

        try:
            return await if_changed(request, etag, respond)
        finally:
            work.close()  # nothing if it has run


def address(request: Request, route: str, query: Mapping[str, str | None] | None = None, **path: str) -> str:
    """Return the address of a route, with the read-only key of the request if it has one.

    Parameters of the query that are None are left out; braces in the path, such as {z}, are kept.
    """
    given = {**(query or {}), "key": request.query_params.get("key")}
    text = urlencode({name: value for name, value in given.items() if value})
    url = quote(str(request.url_for(route, **path)), safe="/{}:@[]")
    return f"{url}?{text}" if text else url
