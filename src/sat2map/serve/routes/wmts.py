"""`/wmts`: the live maps for WMTS clients, with parameters in the query (KVP) or in the path (REST)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from sat2map.errors import ImageError
from sat2map.serve.http_errors import NotFoundError
from sat2map.serve.openapi import EXAMPLE_QUERY
from sat2map.serve.routes.tiles import TileSource, address
from sat2map.serve.wmts import MATRIX_SET, WmtsLayer, capabilities, exception_report

_XML = "application/xml"
_TEXT = {"schema": {"type": "string"}}
_ANSWERS = {200: {"content": {_XML: _TEXT}}}
_REQUIRED = ("layer", "tilematrixset", "tilematrix", "tilerow", "tilecol")


def wmts_routes(source: TileSource) -> APIRouter:
    """Return the routes."""
    router = source.router()

    async def describe(request: Request) -> Response:
        layers = []
        for layer in await source.layers():
            tiles = address(request, "read_tile", layer=layer.name, z="{z}", x="{x}", y="{y}")
            has_legend = layer.kind != "imagery" and layer.palette is not None
            legend = address(request, "read_legend", layer=layer.name) if has_legend else None
            layers.append(WmtsLayer(layer, tiles, legend))
        kvp = address(request, "answer_wmts")
        rest = address(request, "read_wmts_capabilities")
        content = capabilities(layers, kvp + ("&" if "?" in kvp else "?"), rest)
        return Response(content, media_type=_XML)

    @router.get(
        "/wmts/1.0.0/WMTSCapabilities.xml",
        response_class=Response,
        responses={200: {"content": {_XML: _TEXT}}},
    )
    async def read_wmts_capabilities(request: Request) -> Response:
        """Describe the live maps as WMTS layers; clients read tiles by the templates in it."""
        return await describe(request)

    @router.get(
        "/wmts",
        response_class=Response,
        openapi_extra={EXAMPLE_QUERY: "service=WMTS&request=GetCapabilities"},
        responses={
            200: {"content": {_XML: _TEXT, "image/png": _TEXT}},
            400: {"description": "OWS exception report.", "content": {_XML: _TEXT}},
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
        try:
            layer = await source.find(name)
        except (NotFoundError, ImageError):
            return _exception("InvalidParameterValue", "layer", "there is no such layer")
        try:
            return await source.tile(request, layer, zoom, column, row)
        except NotFoundError:
            return _exception("TileOutOfRange", "tilerow", "there is no such tile")

    return router


def _exception(code: str, locator: str, text: str) -> Response:
    return Response(exception_report(code, locator, text), 400, media_type=_XML)
