"""`/v1/images`: images that are uploaded once and translated as often as wanted."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field

from sat2map.errors import ImageError
from sat2map.serve.http_errors import NotFoundError, TooManyPixelsError, UnauthorizedError
from sat2map.serve.input_files import Kind
from sat2map.serve.openapi import documented
from sat2map.serve.routes.access import (
    PNG,
    UPLOAD,
    UPLOAD_FAILURES,
    ModelName,
    PartOfPicture,
    check_key,
    location,
    owner_of,
)
from sat2map.serve.routes.translations import show_picture
from sat2map.serve.service import Service, run_until_disconnected
from sat2map.serve.upload_files import receive_file

ImageId = Annotated[
    str, InPath(max_length=64, description="Id of the image.", examples=["Jq3zJ1mJm4m1pZ0a1nKZ5w"])
]


class ImageStatus(BaseModel):
    """An uploaded image."""

    id: str = Field(examples=["Jq3zJ1mJm4m1pZ0a1nKZ5w"])
    kind: Kind = Field(description="A raster is georeferenced, a picture is not.")
    width: int = Field(examples=[1200], description="Columns (px).")
    height: int = Field(examples=[900], description="Rows (px).")
    expires: datetime = Field(examples=["2026-01-31T12:00:00Z"], description="When it is deleted.")


def image_routes(service: Service) -> APIRouter:
    """Return the routes."""
    router = APIRouter(
        dependencies=[Depends(check_key(service.keys))],
        prefix="/v1/images",
        tags=["images"],
        responses=documented(UnauthorizedError),
    )
    limits, images = service.settings.limits, service.images

    @router.post(
        "", status_code=201, openapi_extra=UPLOAD, responses={201: location("image"), **UPLOAD_FAILURES}
    )
    async def upload_image(request: Request, response: Response) -> ImageStatus:
        """Upload an image that is translated later, more than once: at other scales or with other models."""
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() else limits.image_bytes
        arriving = images.new_folder(min(size, limits.job_body_bytes))
        async with contextmanager_in_threadpool(arriving) as folder:
            upload = await receive_file(service, request, folder)
            image = images.add(folder, upload, owner_of(request))
        response.headers["Location"] = request.url_for("read_image_status", image=image.id).path
        return ImageStatus.model_validate(image.model_dump())

    @router.get("/{image}", responses=documented(NotFoundError))
    async def read_image_status(request: Request, image: ImageId) -> ImageStatus:
        """Return what is known of an uploaded image."""
        return ImageStatus.model_validate(images.get(image, owner_of(request)).model_dump())

    @router.delete("/{image}", status_code=204, response_model=None, responses=documented(NotFoundError))
    async def delete_image(request: Request, image: ImageId) -> None:
        """Delete an uploaded image."""
        images.remove(image, owner_of(request))

    @router.get(
        "/{image}/preview",
        response_class=Response,
        responses={200: PNG, **documented(NotFoundError, TooManyPixelsError, ImageError)},
    )
    async def preview_image(
        request: Request, image: ImageId, part: PartOfPicture, model: ModelName = None
    ) -> Response:
        """Return an uploaded image as the model sees it; browsers open neither TIFF nor 16 bits per band."""
        found = images.get(image, owner_of(request))
        if found.height * found.width > limits.pixels:
            raise TooManyPixelsError(f"a preview may have {limits.pixels / 1e6:g} million pixels at most")
        served = service.models.find(model)
        with service.memory.account() as reserve:
            reserve(8 * found.height * found.width)
            work = show_picture(service, served, images.inspected(found), part, cache="private, max-age=3600")
            return await run_until_disconnected(request, work, limits.request_seconds)

    return router
