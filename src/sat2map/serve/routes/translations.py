"""Owns `POST /v1/translate`: one image in, its map out."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from numpy.typing import NDArray

from sat2map.errors import ImageError
from sat2map.images.pixels import Picture, with_bands
from sat2map.serve.http_errors import (
    BodyTooLargeError,
    NotAcceptableError,
    NotFoundError,
    TooManyPixelsError,
    UnauthorizedError,
    UnsupportedFormatError,
    UploadTooSlowError,
)
from sat2map.serve.input_files import RESULTS, Inspected, inspect_file, read_file
from sat2map.serve.problems import documented
from sat2map.serve.responses import MEDIA_TYPES, MediaType, encode, negotiate
from sat2map.serve.routes.access import GroundSize, ModelName, check_key
from sat2map.serve.scaling import size_for_model
from sat2map.serve.served_models import ServedModel
from sat2map.serve.service import Service, while_wanted
from sat2map.serve.uploads import decode, read_body, recognise

T = TypeVar("T")
_BINARY = {"type": "string", "format": "binary"}
_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The image, as it is or as the one file of a form.",
        "content": {
            **{media_type: {"schema": _BINARY} for media_type in MEDIA_TYPES},
            "application/octet-stream": {"schema": _BINARY},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"image": _BINARY}, "required": ["image"]}
            },
        },
    }
}
_ANSWER: dict[str, Any] = {
    "description": "The map, on the image's own pixels.",
    "content": {media_type: {"schema": _BINARY} for media_type in MEDIA_TYPES},
    "headers": {
        "Sat2map-Model": {"description": "Name of the model that made it", "schema": {"type": "string"}},
        "Server-Timing": {
            "description": "Milliseconds in the queue and in the network",
            "schema": {"type": "string", "example": "queue;dur=3.1, network;dur=21.9"},
        },
    },
}


_FAILURES = documented(
    UnauthorizedError,
    UploadTooSlowError,
    BodyTooLargeError,
    TooManyPixelsError,
    UnsupportedFormatError,
    ImageError,
)


def translate_routes(service: Service) -> APIRouter:
    """Return the route."""
    router = APIRouter(dependencies=[Depends(check_key(service.keys))], tags=["translate"])
    limits = service.settings.limits

    @router.post(
        "/v1/translate",
        response_class=Response,
        openapi_extra=_REQUEST,
        responses={200: _ANSWER, **documented(NotFoundError, NotAcceptableError), **_FAILURES},
    )
    async def translate(request: Request, model: ModelName = None, gsd: GroundSize = None) -> Response:
        """Translate an image into a map.

        Send PNG, JPEG, WebP or TIFF of 8 bits a band, or any GeoTIFF; `Accept` chooses the format of the map.
        A GeoTIFF becomes a Cloud-Optimized GeoTIFF on the same grid unless another format is asked for.
        """
        served = service.models.find(model)
        body = await read_body(request, limit=limits.body_bytes, seconds=limits.upload_seconds)
        accept = request.headers.get("accept", "")
        if recognise(body[:16]) == "tiff":
            work = _tiff(served, body, accept, gsd)
        else:
            work = _picture(served, body, accept, gsd)
        return await while_wanted(request, work, limits.request_seconds)

    async def _picture(served: ServedModel, body: bytes, accept: str, gsd: float | None) -> Response:
        media_type = negotiate(accept, MEDIA_TYPES)

        def read() -> tuple[Picture, NDArray[np.uint8]]:
            picture = decode(body, pixels=limits.pixels)
            path = cast("Path", "the image")
            source = with_bands(picture.pixels, served.header.generator.source_bands, path)
            size_for_model(served.header, source.shape[:2], gsd, pixels=limits.pixels)
            return picture, source

        def write() -> bytes:
            return encode(fake, picture.alpha, media_type)

        picture, source = await _thread(read)
        fake, done = await served.translate(source, gsd=gsd)
        content = await _thread(write)
        return _answer(served, content, media_type, done.waited, done.ran)

    async def _tiff(served: ServedModel, body: bytes, accept: str, gsd: float | None) -> Response:
        async with _put_down(body) as upload:
            if upload.kind == "picture":
                return await _picture(served, body, accept, gsd)
            media_type = negotiate(accept, ("image/tiff", "image/png", "image/webp"))
            output = upload.path.with_name(RESULTS[upload.kind])
            done = await served.translate_file(upload.path, output, upload.kind)
            content = await _thread(_pick_up, output, media_type)
            return _answer(served, content, media_type, done.waited, done.ran)

    @router.post(
        "/v1/preview",
        response_class=Response,
        openapi_extra=_REQUEST,
        responses={
            200: {"description": "The image as a PNG.", "content": {"image/png": {"schema": _BINARY}}},
            **_FAILURES,
        },
    )
    async def preview(request: Request) -> Response:
        """Show an image as the model would see it: browsers open no TIFF, and no more than 8 bits a band."""
        body = await read_body(request, limit=limits.body_bytes, seconds=limits.upload_seconds)

        async def show() -> Response:
            async with _put_down(body) as upload:
                picture = await _thread(read_file, upload)
            content = await _thread(encode, picture.pixels, picture.alpha, "image/png")
            return Response(content, media_type="image/png", headers={"Cache-Control": "no-store"})

        return await while_wanted(request, show(), limits.request_seconds)

    async def _thread(function: Callable[..., T], *values: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(service.threads, function, *values)

    @contextlib.asynccontextmanager
    async def _put_down(body: bytes) -> AsyncIterator[Inspected]:
        """Write an upload into a folder of its own, for GDAL works on files."""
        folder = await _thread(_write, service.settings.state / "now", body)
        try:
            yield await _thread(
                lambda: inspect_file(
                    folder / "upload", picture_pixels=limits.pixels, raster_pixels=limits.pixels
                )
            )
        finally:
            # Cancelled work may still write there until its next tile; the next start removes that.
            await asyncio.shield(_thread(_clear, folder))

    def _answer(
        served: ServedModel, content: bytes, media_type: MediaType, waited: float, ran: float
    ) -> Response:
        service.metrics.waited.observe(waited)
        service.metrics.network.observe(ran)
        timing = f"queue;dur={waited * 1000:.1f}, network;dur={ran * 1000:.1f}"
        headers = {
            "Sat2map-Model": served.name,
            "Server-Timing": timing,
            "Cache-Control": "no-store",
            "Vary": "Accept",
        }
        return Response(content, media_type=media_type, headers=headers)

    return router


def _pick_up(path: Path, media_type: MediaType) -> bytes:
    if media_type == "image/tiff":
        return path.read_bytes()
    import rasterio

    with rasterio.open(path) as dataset:
        values, mask = dataset.read(), dataset.dataset_mask()
    bands = values.shape[0] - (values.shape[0] in (2, 4))
    pixels = np.ascontiguousarray(np.moveaxis(values[:bands], 0, -1))
    return encode(pixels, None if mask.all() else mask, media_type)


def _write(base: Path, body: bytes) -> Path:
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=base))
    (folder / "upload").write_bytes(body)
    return folder


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
