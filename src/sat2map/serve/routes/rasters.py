"""`/rasters`: layers of rasters as XYZ and vector tiles, and the TileJSON and style that describe them."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from sat2map.geo.qgis_styles import TILE_LAYER, StyledLayer, maplibre_style
from sat2map.serve.legend import draw_legend
from sat2map.serve.map_layers import Kind, MapLayer, layers_of
from sat2map.serve.raster_folder import RasterFile
from sat2map.serve.routes.access import ModelName
from sat2map.serve.routes.tiles import FAILURES, LayerName, Number, TileSource, Zoom, address, answers
from sat2map.serve.vector_tiles import MEDIA_TYPE


class RasterEntry(BaseModel):
    """A raster that the service shows."""

    name: str = Field(examples=["town"])
    bounds: tuple[float, float, float, float] | None = Field(
        None, description="West, south, east, north (degrees)."
    )
    width: int | None = Field(None, description="Columns (px).")
    height: int | None = Field(None, description="Rows (px).")
    layers: list[Kind] = Field([], description="What can be shown of it.")
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
    vector_layers: list[dict[str, Any]] | None = Field(None, description="Of vector tiles.")


def raster_routes(source: TileSource) -> APIRouter:
    """Return the routes of a service that has rasters."""
    router = source.router("/rasters")

    @router.get("")
    async def list_rasters(
        q: Annotated[str, Query(max_length=200, description="Part of the name.")] = "",
    ) -> list[RasterEntry]:
        """List the rasters."""
        found = await anyio.to_thread.run_sync(source.rasters.all)
        model = source.service.models.find(None)
        return [
            RasterEntry(name=name, problem=raster)
            if isinstance(raster, str)
            else RasterEntry(
                name=name,
                bounds=raster.coverage.bounds,
                width=raster.width,
                height=raster.height,
                layers=[layer.kind for layer in layers_of(raster, model)],
            )
            for name, raster in found.items()
            if q.casefold() in name.casefold()
        ]

    @router.get("/{layer}/tilejson.json", responses=FAILURES, response_model_exclude_none=True)
    async def describe_tiles(request: Request, layer: LayerName, model: ModelName = None) -> TileJson:
        """Describe the tiles of a layer."""
        found = await source.find(layer, model)
        tiles = address(request, "read_tile", {"model": model}, layer=layer, z="{z}", x="{x}", y="{y}")
        return _tilejson(found, tiles, found.max_zoom)

    @router.get("/{layer}/vector.json", responses=FAILURES, response_model_exclude_none=True)
    async def describe_vector_tiles(request: Request, layer: LayerName, model: ModelName = None) -> TileJson:
        """Describe the vector tiles of a raster's classes."""
        found = await source.find_classes(layer, model)
        tiles = address(request, "read_vector_tile", {"model": model}, layer=layer, z="{z}", x="{x}", y="{y}")
        fields = {"class": "Name of the class", "number": "Number of the class"}
        described = _tilejson(found, tiles, found.zoom)
        described.vector_layers = [{"id": TILE_LAYER, "fields": fields}]
        return described

    @router.get("/{layer}/style.json", responses=FAILURES)
    async def read_style(request: Request, layer: LayerName, model: ModelName = None) -> dict[str, Any]:
        """Return a MapLibre style that draws the vector tiles in the colours of the map; QGIS reads it."""
        found = await source.find_classes(layer, model)
        assert found.palette is not None
        tiles = address(request, "read_vector_tile", {"model": model}, layer=layer, z="{z}", x="{x}", y="{y}")
        about = _tilejson(found, tiles, found.zoom)
        drawn = [StyledLayer(one.name, one.name, one.colours[0]) for one in found.palette.classes]
        tiled = about.model_dump(include={"tiles", "minzoom", "maxzoom", "bounds"})
        return maplibre_style(found.title, tiled, drawn) | {"center": about.center[:2], "zoom": found.zoom}

    @router.get("/{layer}/legend.png", response_class=Response, responses=answers("image/png"))
    async def read_legend(request: Request, layer: LayerName, model: ModelName = None) -> Response:
        """Return the colours of a layer with their names, as WMTS clients show them."""
        found = await source.find(layer, model)
        return Response(await anyio.to_thread.run_sync(draw_legend, found), media_type="image/png")

    @router.get("/{layer}/tiles/{z}/{x}/{y}.png", response_class=Response, responses=answers("image/png"))
    async def read_tile(
        request: Request, layer: LayerName, z: Zoom, x: Number, y: Number, model: ModelName = None
    ) -> Response:
        """Return a tile of a layer, computed now or cached; transparent where the raster has no data."""
        return await source.tile(request, await source.find(layer, model), z, x, y)

    @router.get("/{layer}/tiles/{z}/{x}/{y}.pbf", response_class=Response, responses=answers(MEDIA_TYPE))
    async def read_vector_tile(
        request: Request, layer: LayerName, z: Zoom, x: Number, y: Number, model: ModelName = None
    ) -> Response:
        """Return the polygons of a tile's classes as a Mapbox vector tile; empty where there is no data."""
        return await source.vector_tile(request, await source.find_classes(layer, model), z, x, y)

    # Addresses of imagery before layers had names of their own: saved projects of GIS clients have them.
    @router.get("/{raster}/imagery/tilejson.json", include_in_schema=False, response_model_exclude_none=True)
    async def describe_imagery(request: Request, raster: LayerName) -> TileJson:
        return await describe_tiles(request, f"{raster}:imagery")

    @router.get("/{raster}/imagery/tiles/{z}/{x}/{y}.png", include_in_schema=False, response_class=Response)
    async def read_imagery(request: Request, raster: LayerName, z: Zoom, x: Number, y: Number) -> Response:
        return await read_tile(request, f"{raster}:imagery", z, x, y)

    return router


def _tilejson(layer: MapLayer, tiles: str, high: int) -> TileJson:
    raster: RasterFile = layer.raster
    return TileJson(
        name=layer.title,
        tiles=[tiles],
        minzoom=layer.min_zoom,
        maxzoom=high,
        bounds=raster.coverage.bounds,
        center=(*raster.coverage.centre, high),
    )
