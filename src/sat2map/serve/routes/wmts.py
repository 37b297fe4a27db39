"""`/wmts`: the live maps for WMTS clients, with parameters in the query (KVP) or in the path (REST)."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from sat2map.serve.http_errors import UnauthorizedError
from sat2map.serve.livemap import Layer, LiveMaps
from sat2map.serve.problems import documented
from sat2map.serve.raster_folder import MAX_ZOOM, RasterFile, RasterFolder
from sat2map.serve.routes.access import check_key
from sat2map.serve.routes.rasters import tile_query, tile_template
from sat2map.serve.service import Service, run_until_disconnected
from sat2map.serve.wmts import MATRIX_SET, WmtsLayer, capabilities, exception_report

_XML = "application/xml"
_REQUIRED = ("layer", "tilematrixset", "tilematrix", "tilerow", "tilecol")
IMAGERY = ":imagery"  # suffix of the layer that shows a raster itself


def wmts_routes(service: Service, rasters: RasterFolder, maps: LiveMaps) -> APIRouter:
    """Return the routes."""
    router = APIRouter(dependencies=[Depends(check_key(service.keys, tiles=True))], tags=["live map"])
    answers = {200: {"content": {_XML: {"schema": {"type": "string"}}}}, **documented(UnauthorizedError)}

    def layers(request: Request, found: dict[str, RasterFile | str]) -> list[WmtsLayer]:
        all_layers = []
        for name, raster in found.items():
            if isinstance(raster, str):
                continue
            layer = Layer(raster, service.models.find(None))
            query = tile_query(request)
            map_tiles = tile_template(request, "read_tile", name) + query
            imagery = tile_template(request, "read_imagery", name) + query
            high = min(raster.max_zoom + 1, MAX_ZOOM)
            all_layers.append(WmtsLayer(name, f"{name}: map", raster.bounds, layer.min_zoom, high, map_tiles))
            all_layers.append(
                WmtsLayer(f"{name}{IMAGERY}", f"{name}: imagery", raster.bounds, 0, high, imagery)
            )
        return all_layers

    async def describe(request: Request) -> Response:
        found = await anyio.to_thread.run_sync(rasters.all)
        query = tile_query(request)
        kvp = str(request.url_for("answer_wmts")) + (f"{query}&" if query else "?")
        rest = str(request.url_for("read_wmts_capabilities")) + query
        return Response(capabilities(layers(request, found), kvp, rest), media_type=_XML)

    @router.get("/wmts/1.0.0/WMTSCapabilities.xml", response_class=Response, responses=answers)
    async def read_wmts_capabilities(request: Request) -> Response:
        """Describe the live maps as WMTS layers; clients read tiles by the templates in it."""
        return await describe(request)

    @router.get(
        "/wmts",
        response_class=Response,
        responses={
            **answers,
            200: {"content": {kind: {"schema": {"type": "string"}} for kind in (_XML, "image/png")}},
            400: {"description": "OWS exception report.", "content": {_XML: {"schema": {"type": "string"}}}},
        },
    )
    async def answer_wmts(request: Request) -> Response:
        """Answer GetCapabilities and GetTile with parameters in the query, in any case of letters."""
        given = {name.lower(): value for name, value in request.query_params.items()}
        operation = given.get("request", "").lower()
        if operation == "getcapabilities":
            return await describe(request)
        if operation != "gettile":
            text = "the request must be GetCapabilities or GetTile"
            return _exception(
                "OperationNotSupported" if operation else "MissingParameterValue", "request", text
            )
        for name in _REQUIRED:
            if name not in given:
                return _exception("MissingParameterValue", name, f"the parameter {name} is missing")
        if given["tilematrixset"] != MATRIX_SET:
            return _exception("InvalidParameterValue", "tilematrixset", f"tiles are in {MATRIX_SET} only")
        for name in ("tilematrix", "tilerow", "tilecol"):
            if not (given[name].isascii() and given[name].isdecimal() and len(given[name]) < 9):
                return _exception("InvalidParameterValue", name, f"{name} must be a whole number")
        return await _tile(request, given["layer"], *(int(given[key]) for key in _REQUIRED[2:]))

    async def _tile(request: Request, name: str, zoom: int, row: int, column: int) -> Response:
        raster = (await anyio.to_thread.run_sync(rasters.all)).get(name.removesuffix(IMAGERY))
        if raster is None or isinstance(raster, str):
            return _exception("InvalidParameterValue", "layer", "there is no such layer")
        if zoom > MAX_ZOOM or max(row, column) >= 1 << zoom:
            return _exception("TileOutOfRange", "tilerow", "there is no such tile")
        if name.endswith(IMAGERY):
            work = maps.imagery(raster, zoom, column, row)
        else:
            work = maps.tile(Layer(raster, service.models.find(None)), zoom, column, row)
        content = await run_until_disconnected(request, work, service.settings.limits.request_seconds)
        return Response(content, media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    return router


def _exception(code: str, locator: str, text: str) -> Response:
    return Response(exception_report(code, locator, text), 400, media_type=_XML)
