"""`POST /v1/translate` and `/v1/preview`: one image in, its map or the image itself out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from numpy.typing import NDArray

from sat2map.images.pixels import Picture, with_bands
from sat2map.serve.batch_queue import Work
from sat2map.serve.decoder import SMALL_FILE, SMALL_IMAGE
from sat2map.serve.http_errors import NotAcceptableError, NotFoundError
from sat2map.serve.input_files import RESULTS, Inspected, inspect_file, read_file
from sat2map.serve.memory import Reserve, price
from sat2map.serve.openapi import documented
from sat2map.serve.pictures import NOTES_HEADER, Part, notes_header, read_picture
from sat2map.serve.responses import MEDIA_TYPES, RASTER_TYPES, MediaType, encode, negotiate, read_raster
from sat2map.serve.routes.access import (
    BINARY,
    IMAGES,
    PNG,
    UPLOAD_FAILURES,
    Gsd,
    ModelName,
    PartOfPicture,
    check_key,
)
from sat2map.serve.served_models import ServedModel
from sat2map.serve.service import Service, run_until_disconnected
from sat2map.serve.uploads import check_size, read_body, sniff_format

_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The image as the body, or as the one file of a form.",
        "content": {
            **IMAGES,
            "application/octet-stream": {"schema": BINARY},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"image": BINARY}, "required": ["image"]}
            },
        },
    }
}
_ANSWER: dict[str, Any] = {
    "description": "The map, with the size of the image.",
    "content": IMAGES,
    "headers": {
        "Sat2map-Model": {"description": "Name of the model", "schema": {"type": "string"}},
        "Server-Timing": {
            "description": "Milliseconds in the queue and in the network",
            "schema": {"type": "string", "example": "queue;dur=3.1, network;dur=21.9"},
        },
        NOTES_HEADER: {
            "description": "What was assumed or left out, as a JSON list of sentences",
            "schema": {"type": "string"},
        },
    },
}


def translate_routes(service: Service) -> APIRouter:
    """Return the route."""
    router = APIRouter(dependencies=[Depends(check_key(service.keys))], tags=["translate"])
    limits = service.settings.limits

    @router.post(
        "/v1/translate",
        response_class=Response,
        openapi_extra=_REQUEST,
        responses={200: _ANSWER, **documented(NotFoundError, NotAcceptableError), **UPLOAD_FAILURES},
    )
    async def translate(
        request: Request, part: PartOfPicture, model: ModelName = None, gsd: Gsd = None
    ) -> Response:
        """Translate an image into a map.

        Send PNG, JPEG, WebP or TIFF with 8 bits per band, or any GeoTIFF; `Accept` chooses the format of the
        map. A GeoTIFF becomes a Cloud-Optimized GeoTIFF on the same grid, unless `Accept` names another
        format. Of a training pair (a photo with its map beside it) the photo is translated.
        """
        served = service.models.find(model)
        accept = request.headers.get("accept", "")
        with service.memory.account() as reserve:
            body = await read_body(request, reserve, limit=limits.body_bytes, seconds=limits.upload_seconds)
            translate = _translate_tiff if sniff_format(body[:16]) == "tiff" else _translate_picture
            work = translate(served, body, accept, gsd, part, reserve)
            return await run_until_disconnected(request, work, limits.request_seconds)

    async def _translate_picture(
        served: ServedModel, body: bytes, accept: str, gsd: float | None, part: Part, reserve: Reserve
    ) -> Response:
        media_type = negotiate(accept, MEDIA_TYPES)

        def read() -> tuple[Picture, NDArray[np.uint8]]:
            height, width = service.decoder.size(body)
            check_size(height, width, limits.pixels)
            reserve(price(served.header, (height, width), gsd, pixels=limits.pixels) + 8 * height * width)
            picture = read_picture(service.decoder, body, (height, width), served.header, part, gsd=gsd)
            path = cast("Path", "the image")
            source = with_bands(picture.pixels, served.header.generator.source_bands, path)
            return picture, source

        def write() -> bytes:
            return encode(fake, picture.alpha, media_type)

        large = len(body) > SMALL_FILE
        picture, source = await service.run_in_thread(read, large=large)
        fake, done = await served.translate(source, gsd=gsd)
        content = await service.run_in_thread(write, large=picture.pixels.size > 3 * SMALL_IMAGE)
        return _answer(served, content, media_type, done, picture.notes)

    async def _translate_tiff(
        served: ServedModel, body: bytes, accept: str, gsd: float | None, part: Part, reserve: Reserve
    ) -> Response:
        async with _spool_upload(body) as upload:
            if upload.kind == "picture":
                return await _translate_picture(served, body, accept, gsd, part, reserve)
            media_type = negotiate(accept, RASTER_TYPES)
            output = upload.path.with_name(RESULTS[upload.kind])
            notes, done = await served.translate_file(upload, output)
            content = await service.run_in_thread(read_raster, output, media_type, large=True)
            return _answer(served, content, media_type, done, notes)

    @router.post(
        "/v1/preview",
        response_class=Response,
        openapi_extra=_REQUEST,
        responses={200: PNG, **UPLOAD_FAILURES},
    )
    async def preview(request: Request, part: PartOfPicture, model: ModelName = None) -> Response:
        """Return an image as the model sees it, since browsers open neither TIFF nor 16 bits per band."""
        served = service.models.find(model)
        with service.memory.account() as reserve:
            body = await read_body(request, reserve, limit=limits.body_bytes, seconds=limits.upload_seconds)

            async def show() -> Response:
                async with _spool_upload(body) as upload:
                    reserve(8 * upload.height * upload.width)
                    return await show_picture(service, served, upload, part, cache="no-store")

            return await run_until_disconnected(request, show(), limits.request_seconds)

    @contextlib.asynccontextmanager
    async def _spool_upload(body: bytes) -> AsyncIterator[Inspected]:
        """Write an upload into a folder of its own, as GDAL reads files."""
        async with service.temporary_folder() as folder:
            path, most = folder / "upload", (limits.pixels, limits.pixels)
            await service.run_in_thread(path.write_bytes, body)
            yield await service.run_in_thread(
                inspect_file, path, service.decoder, *most, large=len(body) > SMALL_FILE
            )

    def _answer(
        served: ServedModel,
        content: bytes,
        media_type: MediaType,
        done: Work[Any, Any],
        notes: tuple[str, ...],
    ) -> Response:
        service.metrics.waited.observe(done.waited)
        service.metrics.network.observe(done.ran)
        timing = f"queue;dur={done.waited * 1000:.1f}, network;dur={done.ran * 1000:.1f}"
        headers = {
            "Sat2map-Model": served.name,
            "Server-Timing": timing,
            "Cache-Control": "no-store",
            "Vary": "Accept",
            **notes_header(notes),
        }
        return Response(content, media_type=media_type, headers=headers)

    return router


async def show_picture(
    service: Service, model: ServedModel, upload: Inspected, part: Part, *, cache: str
) -> Response:
    """Return an inspected file as the model sees it, as a PNG that clients may `cache` so."""
    picture = await service.run_in_thread(read_file, upload, service.decoder, model.header, part, large=True)
    content = await service.run_in_thread(encode, picture.pixels, picture.alpha, "image/png", large=True)
    headers = {"Cache-Control": cache, **notes_header(picture.notes)}
    return Response(content, media_type="image/png", headers=headers)
