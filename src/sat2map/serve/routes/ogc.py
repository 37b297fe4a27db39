"""`/ogc`: the layers by OGC API – Tiles (20-057) and OGC API – Maps (20-058)."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
import morecantile
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from sat2map.images.png import encode_png
from sat2map.serve.http_errors import NotFoundError
from sat2map.serve.map_image import CRS84, LONGEST, MERCATOR_URI, draw_view, parse_view
from sat2map.serve.map_layers import MapLayer
from sat2map.serve.routes.tiles import FAILURES, LayerName, Number, TileSource, Zoom, address, answers
from sat2map.serve.vector_tiles import MEDIA_TYPE
from sat2map.serve.wmts import MATRIX_SET

_REL = "http://www.opengis.net/def/rel/ogc/1.0/"
_SPEC = "http://www.opengis.net/spec/"
_SET_URI = f"http://www.opengis.net/def/tilematrixset/OGC/1.0/{MATRIX_SET}"
CONFORMANCE = [
    *(f"{_SPEC}ogcapi-common-1/1.0/conf/{name}" for name in ("core", "json", "oas30")),
    f"{_SPEC}ogcapi-common-2/1.0/conf/collections",
    *(
        f"{_SPEC}ogcapi-tiles-1/1.0/conf/{name}"
        for name in ("core", "tileset", "tilesets-list", "geodata-tilesets", "png", "mvt")
    ),
    *(
        f"{_SPEC}ogcapi-maps-1/1.0/conf/{name}"
        for name in ("core", "collection-map", "crs", "png", "tilesets")
    ),
    f"{_SPEC}tms/2.0/conf/json-tilematrixset",
]
Json = dict[str, Any]
Bbox = Annotated[
    str | None, Query(max_length=200, description="Area, four numbers.", examples=["-74,40,-73,41"])
]
BboxCrs = Annotated[str, Query(alias="bbox-crs", max_length=100, description="CRS of the bbox.")]
Crs = Annotated[str, Query(max_length=100, description="CRS of the image.", examples=["EPSG:3857"])]
Side = Annotated[int | None, Query(ge=1, le=LONGEST, examples=[512])]


def ogc_routes(source: TileSource) -> APIRouter:
    """Return the routes."""
    router = source.router("/ogc", "OGC API")

    @router.get("")
    async def read_landing_page(request: Request) -> Json:
        """Return the landing page."""
        links = [
            _link(request, "self", "read_landing_page"),
            _link(request, "conformance", "read_conformance"),
            _link(request, "data", "list_collections"),
            _link(request, f"{_REL}tiling-schemes", "list_tile_matrix_sets"),
            {"rel": "service-desc", "href": f"{str(request.base_url).rstrip('/')}/openapi.json",
             "type": "application/vnd.oai.openapi+json;version=3.0"},
        ]  # fmt: skip
        about = "Maps that a model draws of aerial and satellite images."
        return {"title": "sat2map", "description": about, "links": links}

    @router.get("/conformance")
    async def read_conformance() -> Json:
        """Return the conformance classes."""
        return {"conformsTo": CONFORMANCE}

    @router.get("/tileMatrixSets")
    async def list_tile_matrix_sets(request: Request) -> Json:
        """List the tile matrix sets."""
        link = _link(request, "self", "read_tile_matrix_set", tms=MATRIX_SET)
        return {"tileMatrixSets": [{"id": MATRIX_SET, "uri": _SET_URI, "links": [link]}]}

    @router.get("/tileMatrixSets/{tms}", responses=FAILURES)
    async def read_tile_matrix_set(tms: str) -> Json:
        """Return a tile matrix set."""
        _check_set(tms)
        described: Json = morecantile.tms.get(MATRIX_SET).model_dump(exclude_none=True, mode="json")
        return described

    @router.get("/collections")
    async def list_collections(request: Request) -> Json:
        """List the layers."""
        found = [_collection(request, layer) for layer in await source.layers()]
        return {"collections": found, "links": [_link(request, "self", "list_collections")]}

    @router.get("/collections/{layer}", responses=FAILURES)
    async def read_collection(request: Request, layer: LayerName) -> Json:
        """Describe a layer."""
        return _collection(request, await source.find(layer))

    @router.get("/collections/{layer}/map", response_class=Response, responses=answers("image/png"))
    async def read_map(
        request: Request,
        layer: LayerName,
        bbox: Bbox = None,
        bbox_crs: BboxCrs = CRS84,
        crs: Crs = CRS84,
        width: Side = None,
        height: Side = None,
    ) -> Response:
        """Return an image of a layer, of any area and size, in any CRS with an EPSG code."""
        found = await source.find(layer)
        view = parse_view(found, bbox, bbox_crs, crs, width, height)

        async def draw() -> bytes:
            with source.service.memory.account() as reserve:
                reserve(view.price)
                pixels = await draw_view(source.maps, found, view)
                return await anyio.to_thread.run_sync(encode_png, pixels)

        etag = found.etag("view", view.uri, view.box, view.width, view.height)
        response = await source.answer(request, etag, "image/png", draw())
        response.headers.update({"Content-Crs": f"<{view.uri}>", "Content-Bbox": view.content_bbox})
        return response

    for path, kind in (("map/tiles", "map"), ("tiles", "vector")):
        _add_tilesets(router, source, path, kind)
    return router


def _add_tilesets(router: APIRouter, source: TileSource, path: str, kind: str) -> None:
    """Add the routes of map tiles or of vector tiles."""
    find = source.find if kind == "map" else source.find_classes

    @router.get(f"/collections/{{layer}}/{path}", name=f"list_{kind}_tilesets", responses=FAILURES)
    async def list_tilesets(request: Request, layer: LayerName) -> Json:
        """List the tilesets of a layer."""
        tileset = _tileset(request, await find(layer), kind)
        del tileset["tileMatrixSetLimits"]
        return {
            "tilesets": [tileset],
            "links": [_link(request, "self", f"list_{kind}_tilesets", layer=layer)],
        }

    @router.get(f"/collections/{{layer}}/{path}/{{tms}}", name=f"read_{kind}_tileset", responses=FAILURES)
    async def read_tileset(request: Request, layer: LayerName, tms: str) -> Json:
        """Describe a tileset of a layer."""
        _check_set(tms)
        return _tileset(request, await find(layer), kind)

    @router.get(
        f"/collections/{{layer}}/{path}/{{tms}}/{{z}}/{{y}}/{{x}}",
        name=f"read_{kind}_tile_of_set",
        response_class=Response,
        responses=answers("image/png" if kind == "map" else MEDIA_TYPE),
    )
    async def read_tile_of_set(
        request: Request,
        layer: LayerName,
        tms: str,
        z: Zoom,
        y: Number,
        x: Number,
    ) -> Response:
        """Return a tile: its matrix, row and column."""
        _check_set(tms)
        answer = source.tile if kind == "map" else source.vector_tile
        return await answer(request, await find(layer), z, x, y)


def _check_set(name: str) -> None:
    if name != MATRIX_SET:
        raise NotFoundError(f"there is no tile matrix set {name!r} here: tiles are in {MATRIX_SET}")


def _link(request: Request, rel: str, route: str, media: str = "application/json", **path: str) -> Json:
    return {"rel": rel, "type": media, "href": address(request, route, None, **path)}


def _collection(request: Request, layer: MapLayer) -> Json:
    links = [
        _link(request, "self", "read_collection", layer=layer.name),
        _link(request, f"{_REL}map", "read_map", "image/png", layer=layer.name),
        _link(request, f"{_REL}tilesets-map", "list_map_tilesets", layer=layer.name),
    ]
    if layer.kind == "classes":
        links.append(_link(request, f"{_REL}tilesets-vector", "list_vector_tilesets", layer=layer.name))
    return {
        "id": layer.name,
        "title": layer.title,
        "extent": {"spatial": {"bbox": [layer.raster.coverage.bounds], "crs": CRS84}},
        "crs": [CRS84, MERCATOR_URI],
        "storageCrs": CRS84,
        "links": links,
    }


def _tileset(request: Request, layer: MapLayer, kind: str) -> Json:
    high = layer.max_zoom if kind == "map" else layer.zoom
    west, south, east, north = layer.raster.coverage.bounds
    media = "image/png" if kind == "map" else MEDIA_TYPE
    item = _link(
        request, "item", f"read_{kind}_tile_of_set", media, layer=layer.name, tms=MATRIX_SET,
        z="{tileMatrix}", y="{tileRow}", x="{tileCol}",
    )  # fmt: skip
    return {
        "title": layer.title,
        "dataType": kind,
        "crs": MERCATOR_URI,
        "tileMatrixSetURI": _SET_URI,
        "boundingBox": {"lowerLeft": [west, south], "upperRight": [east, north], "crs": CRS84},
        "centerPoint": {"coordinates": layer.raster.coverage.centre, "tileMatrix": str(high), "crs": CRS84},
        "tileMatrixSetLimits": [
            {**layer.raster.tile_limits(zoom), "tileMatrix": str(zoom)}
            for zoom in range(layer.min_zoom, high + 1)
        ],
        "links": [
            _link(request, "self", f"read_{kind}_tileset", layer=layer.name, tms=MATRIX_SET),
            _link(request, f"{_REL}tiling-scheme", "read_tile_matrix_set", tms=MATRIX_SET),
            {**item, "templated": True},
        ],
    }
