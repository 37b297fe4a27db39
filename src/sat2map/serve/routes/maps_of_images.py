"""`/v1/images/{image}/map` and `/summary`: drawing an uploaded image."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from sat2map.errors import ImageError
from sat2map.serve.drawings import Drawing, Product
from sat2map.serve.http_errors import (
    NotAcceptableError,
    NotFoundError,
    TooManyPixelsError,
    UnauthorizedError,
)
from sat2map.serve.openapi import documented
from sat2map.serve.pictures import Part, notes_header
from sat2map.serve.responses import MEDIA_TYPES, RASTER_TYPES, encode, negotiate
from sat2map.serve.routes.about import LegendEntry, legend_of
from sat2map.serve.routes.access import IMAGES, Gsd, ModelName, PartOfPicture, check_key, owner_of
from sat2map.serve.routes.images import ImageId
from sat2map.serve.service import Service, run_until_disconnected

_MAP: dict[str, Any] = {"description": "The map, with the size of the image.", "content": IMAGES}
_FAILURES = documented(UnauthorizedError, NotFoundError, TooManyPixelsError, ImageError)
ProductName = Annotated[Product, Query(description="The map, its classes, or the model's confidence.")]
Colors = Annotated[
    str | None,
    Query(description="Name of the colours (`colors` of the model); default: the model's.", max_length=64),
]


class ClassShare(LegendEntry):
    """A class of a map."""

    share: float = Field(examples=[0.12], description="Share of the area, 0..1.")


class Summary(BaseModel):
    """What is on a map."""

    model: str = Field(examples=["maps"])
    width: int = Field(examples=[1200], description="Columns (px).")
    height: int = Field(examples=[900], description="Rows (px).")
    products: list[Product] = Field(description="What the model can draw of the image.")
    classes: list[ClassShare] = Field(description="Classes of the map, the largest first.")
    notes: list[str] = Field(
        [], examples=[["The image looks like a training pair."]], description="What was assumed or left out."
    )


def map_routes(service: Service) -> APIRouter:
    """Return the routes."""
    router = APIRouter(
        dependencies=[Depends(check_key(service.keys))], prefix="/v1/images/{image}", tags=["images"]
    )
    limits = service.settings.limits

    async def draw(
        request: Request, image: str, model: str | None, gsd: float | None, colors: str | None, part: Part
    ) -> Drawing:
        found = service.images.get(image, owner_of(request))
        work = service.drawings.draw(service.models.find(model), found, gsd=gsd, colors=colors, part=part)
        return await run_until_disconnected(request, work, limits.request_seconds)

    @router.get(
        "/map", response_class=Response, responses={200: _MAP, **documented(NotAcceptableError), **_FAILURES}
    )
    async def draw_map(
        request: Request,
        image: ImageId,
        part: PartOfPicture,
        model: ModelName = None,
        gsd: Gsd = None,
        product: ProductName = "image",
        colors: Colors = None,
    ) -> Response:
        """Draw an uploaded image; the network runs once for map, classes and confidence.

        A raster is drawn whole at its own scale, whatever `gsd`, `page` and `whole` are; also as a GeoTIFF.
        """
        accept = request.headers.get("accept", "")
        found = service.images.get(image, owner_of(request))
        served = service.models.find(model)
        headers = {"Sat2map-Model": served.name, "Cache-Control": "no-store", "Vary": "Accept"}
        is_raster = found.kind == "raster"
        media_type = negotiate(accept, RASTER_TYPES if is_raster else MEDIA_TYPES)
        drawing = await draw(request, image, model, gsd, colors, part)
        if is_raster and media_type == "image/tiff":
            content = drawing.geotiff(product)
        else:
            pixels = drawing.pixels(product)
            content = await service.run_in_thread(encode, pixels, drawing.alpha, media_type, large=True)
        return Response(content, media_type=media_type, headers={**headers, **notes_header(drawing.notes)})

    @router.get("/summary", responses=_FAILURES)
    async def summarize_map(
        request: Request,
        image: ImageId,
        part: PartOfPicture,
        model: ModelName = None,
        gsd: Gsd = None,
        colors: Colors = None,
    ) -> Summary:
        """Return which classes the map of an uploaded image has, and how much of its area each takes."""
        drawing = await draw(request, image, model, gsd, colors, part)
        shares = await service.run_in_thread(drawing.shares, large=True)
        classes = zip(legend_of(drawing.palette), shares, strict=False)
        entries = [ClassShare(**one.model_dump(), share=share) for one, share in classes]
        height, width = drawing.drawn.image.shape[1:]
        return Summary(
            model=service.models.find(model).name,
            width=width,
            height=height,
            products=drawing.products,
            classes=sorted(entries, key=lambda entry: -entry.share),
            notes=list(drawing.notes),
        )

    return router
