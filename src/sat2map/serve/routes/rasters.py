"""`/rasters`: live maps as XYZ tiles, and the TileJSON that describes them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any
from urllib.parse import urlencode

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import BaseModel, Field

from sat2map.errors import ImageError
from sat2map.serve.http_errors import NotFoundError, UnauthorizedError
from sat2map.serve.livemap import Layer, LiveMaps
from sat2map.serve.problems import documented
from sat2map.serve.raster_folder import MAX_ZOOM, RasterFile, RasterFolder
from sat2map.serve.routes.access import ModelName, check_key
from sat2map.serve.service import Service, run_until_disconnected

Name = Annotated[
    str, InPath(max_length=200, description="Name of a raster of `/rasters`.", examples=["town"])
]
Zoom = Annotated[int, InPath(ge=0, le=MAX_ZOOM, examples=[16])]
Number = Annotated[int, InPath(ge=0, lt=1 << MAX_ZOOM, examples=[19300])]


class RasterEntry(BaseModel):
    """A raster that the service shows."""

    name: str = Field(examples=["town"])
    bounds: tuple[float, float, float, float] | None = Field(
        None, description="West, south, east, north (degrees)."
    )
    width: int | None = Field(None, description="Columns (px).")
    height: int | None = Field(None, description="Rows (px).")
    problem: str | None = Field(None, description="Why it cannot be shown.")


class TileJson(BaseModel):
    """Addresses and extent of tiles (TileJSON 3.0)."""

    tilejson: str = "3.0.0"
    name: str
    tiles: list[str] = Field(examples=[["http://127.0.0.1:8000/rasters/town/tiles/{z}/{x}/{y}.png"]])
    minzoom: int
    maxzoom: int
    bounds: tuple[float, float, float, float]
    center: tuple[float, float, int]


def raster_routes(service: Service, rasters: RasterFolder, maps: LiveMaps) -> APIRouter:
    """Return the routes of a service that has rasters."""
    router = APIRouter(
        dependencies=[Depends(check_key(service.keys, tiles=True))], prefix="/rasters", tags=["live map"]
    )
    limits = service.settings.limits

    async def find(name: str) -> RasterFile:
        return await anyio.to_thread.run_sync(rasters.find, name)

    async def tile(request: Request, etag: str, work: Coroutine[Any, Any, bytes]) -> Response:
        who = "public" if service.keys is None else "private"
        headers = {"ETag": etag, "Cache-Control": f"{who}, max-age=3600"}
        content = await run_until_disconnected(request, work, limits.request_seconds)
        return Response(content, media_type="image/png", headers=headers)

    @router.get("", responses=documented(UnauthorizedError))
    async def list_rasters() -> list[RasterEntry]:
        """List the rasters."""
        found = await anyio.to_thread.run_sync(rasters.all)
        return [
            RasterEntry(name=name, problem=raster)
            if isinstance(raster, str)
            else RasterEntry(name=name, bounds=raster.bounds, width=raster.width, height=raster.height)
            for name, raster in found.items()
        ]

    @router.get("/{name}/tilejson.json", responses=documented(UnauthorizedError, NotFoundError, ImageError))
    async def describe_map(request: Request, name: Name, model: ModelName = None) -> TileJson:
        """Describe the map of a raster as a tile layer."""
        raster, served = await find(name), service.models.find(model)
        layer = Layer(raster, served)
        query = tile_query(request, model=model and served.name)
        title = f"{name}: map"
        return _tilejson(request, title, "read_tile", raster, layer.min_zoom, raster.max_zoom, query)

    @router.get(
        "/{name}/imagery/tilejson.json", responses=documented(UnauthorizedError, NotFoundError, ImageError)
    )
    async def describe_imagery(request: Request, name: Name) -> TileJson:
        """Describe a raster itself as a tile layer."""
        raster = await find(name)
        return _tilejson(request, name, "read_imagery", raster, 0, raster.max_zoom, tile_query(request))

    answers: dict[int | str, dict[str, Any]] = {
        200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
    }
    answers[304] = {"description": "The client has this tile already."}

    @router.get(
        "/{name}/tiles/{z}/{x}/{y}.png",
        response_class=Response,
        responses={**answers, **documented(UnauthorizedError, NotFoundError, ImageError)},
    )
    async def read_tile(
        request: Request, name: Name, z: Zoom, x: Number, y: Number, model: ModelName = None
    ) -> Response:
        """Return a tile of the map, computed now or cached; transparent where the raster has no data."""
        _check_tile(z, x, y)
        layer = Layer(await find(name), service.models.find(model))
        etag = layer.etag(z, x, y)
        if _has(request, etag):
            return Response(status_code=304, headers={"ETag": etag})
        return await tile(request, etag, maps.tile(layer, z, x, y))

    @router.get(
        "/{name}/imagery/{z}/{x}/{y}.png",
        response_class=Response,
        responses={**answers, **documented(UnauthorizedError, NotFoundError, ImageError)},
    )
    async def read_imagery(request: Request, name: Name, z: Zoom, x: Number, y: Number) -> Response:
        """Return a tile of a raster itself."""
        _check_tile(z, x, y)
        raster = await find(name)
        etag = f'"{raster.identity}-{z}-{x}-{y}"'
        if _has(request, etag):
            return Response(status_code=304, headers={"ETag": etag})
        return await tile(request, etag, maps.imagery(raster, z, x, y))

    return router


def tile_query(request: Request, **parameters: str | None) -> str:
    """Return the query of tile addresses: parameters, and the read-only key of the request if it has one."""
    given = {**parameters, "key": request.query_params.get("key")}
    query = urlencode({name: value for name, value in given.items() if value})
    return f"?{query}" if query else ""


def tile_template(request: Request, route: str, name: str) -> str:
    """Return the address of a raster's tiles, with {z}, {x} and {y}."""
    url = str(request.url_for(route, name=name, z="0", x="0", y="0"))
    return url.removesuffix("/0/0/0.png") + "/{z}/{x}/{y}.png"


def _tilejson(
    request: Request, title: str, route: str, raster: RasterFile, low: int, high: int, query: str
) -> TileJson:
    return TileJson(
        name=title,
        tiles=[tile_template(request, route, raster.name) + query],
        minzoom=low,
        maxzoom=high,
        bounds=raster.bounds,
        center=(*raster.centre, high),
    )


def _check_tile(zoom: int, x: int, y: int) -> None:
    if max(x, y) >= 1 << zoom:
        raise NotFoundError(f"zoom {zoom} has {1 << zoom} tiles a side: there is no tile {x}, {y}")


def _has(request: Request, etag: str) -> bool:
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in known or "*" in known
