"""Descriptions of the service: models, problems, health and metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import BaseModel, Field

from sat2map.images.palette import Palette
from sat2map.models.architectures.registry import find_architecture
from sat2map.serve.decoder import SMALL_IMAGE
from sat2map.serve.drawings import colors_for
from sat2map.serve.http_errors import BusyError, NotFoundError, UnauthorizedError
from sat2map.serve.openapi import documented
from sat2map.serve.problems import kinds
from sat2map.serve.routes.access import check_key
from sat2map.serve.routes.page import message_page
from sat2map.serve.served_models import ServedModel
from sat2map.serve.service import Service


class LegendEntry(BaseModel):
    """A class of a model's map and its colour."""

    name: str = Field(examples=["water"])
    colour: str = Field(examples=["#b1d0fe"])


class ModelCard(BaseModel):
    """Description of a model."""

    name: str = Field(examples=["maps"])
    architecture: str = Field(examples=["EfficientNet-Lite U-Net (efficient-unet)"])
    engine: str = Field(examples=["ONNX Runtime"])
    source_bands: int = Field(examples=[3])
    target_bands: int = Field(examples=[3])
    image_size: int | None = Field(
        examples=[256], description="Side of its training images (px); null: native pixels."
    )
    max_untiled_size: int = Field(
        examples=[1024], description="Longest side that is translated without tiles (px)."
    )
    gsd: float | None = Field(examples=[0.9], description="Metres per pixel that it expects, if known.")
    mode: str = Field(examples=["eval"])
    direction: str = Field(examples=["source-to-target"])
    classes: list[LegendEntry]
    scores: dict[str, float | None] = Field(description="On the validation images.")
    colors: list[str] = Field(examples=[["dark"]], description="Other colours of its maps.")
    notes: str = Field(examples=["Trained on photos and maps of New York."])


class BaseMap(BaseModel):
    """Tiles below the live maps."""

    url: str = Field(examples=["https://tile.example.org/{z}/{x}/{y}.png"])
    attribution: str = Field(examples=["© OpenStreetMap contributors"])


class ModelList(BaseModel):
    """The models of a service, the default one first, and its limits."""

    models: list[ModelCard]
    image_pixels: int = Field(
        examples=[2_000_000], description="Largest image that is drawn quickly; larger ones are better jobs."
    )
    body_bytes: int = Field(examples=[67_108_864], description="Largest upload to translate at once.")
    pixels: int = Field(examples=[16_000_000], description="Largest image to translate at once.")
    job_body_bytes: int = Field(examples=[1_073_741_824], description="Largest upload of a job.")
    live_maps: bool = Field(description="Whether the service shows rasters.")
    base_map: BaseMap | None = Field(None, description="What the live map shows below the rasters.")


class ProblemKind(BaseModel):
    """A kind of problem."""

    type: str = Field(examples=["/problems/busy"])
    title: str = Field(examples=["The service is busy"])
    status: int = Field(examples=[503])
    advice: str = Field(
        examples=["Wait as many seconds as Retry-After names."], description="What to do about it."
    )


def legend_of(palette: Palette | None) -> list[LegendEntry]:
    """Return the classes of a palette with their colours; none without one."""
    classes = palette.classes if palette else ()
    return [LegendEntry(name=c.name, colour="#{:02x}{:02x}{:02x}".format(*c.colours[0])) for c in classes]


def about_routes(service: Service) -> APIRouter:
    """Return the routes."""
    router = APIRouter()
    keys = [Depends(check_key(service.keys))]
    limits = service.settings.limits

    @router.get("/v1/models", dependencies=keys, tags=["models"], responses=documented(UnauthorizedError))
    async def list_models() -> ModelList:
        """List the models, the default one first."""
        settings = service.settings
        base_map = settings.base_map and BaseMap(
            url=settings.base_map, attribution=settings.base_map_attribution
        )
        return ModelList(
            models=[_card(model) for model in service.models.values()],
            image_pixels=min(limits.pixels, SMALL_IMAGE),
            body_bytes=limits.body_bytes,
            pixels=limits.pixels,
            job_body_bytes=limits.job_body_bytes,
            live_maps=service.rasters is not None,
            base_map=base_map,
        )

    @router.get(
        "/problems/{slug}",
        tags=["service"],
        response_model=ProblemKind,
        responses={200: {"content": {"text/html": {}}}, **documented(NotFoundError)},
    )
    async def read_problem(
        request: Request, slug: Annotated[str, InPath(max_length=64, examples=["busy"])]
    ) -> ProblemKind | Response:
        """Describe a kind of problem: in JSON, or to a browser as a page."""
        kind = kinds().get(slug)
        if kind is None:
            raise NotFoundError(f"no kind of problem is called {slug!r}")
        if "text/html" in request.headers.get("accept", ""):
            return message_page(request, kind.title, kind.advice)
        return ProblemKind(type=f"/problems/{slug}", title=kind.title, status=kind.status, advice=kind.advice)

    @router.get("/healthz", tags=["service"])
    async def health() -> dict[str, str]:
        """Return 200 while the process runs."""
        return {"status": "alive"}

    @router.get("/readyz", tags=["service"], responses=documented(BusyError))
    async def readiness() -> dict[str, str]:
        """Return 200 while the service accepts requests, else 503."""
        if not service.ready:
            raise BusyError("the service is starting or stopping", retry_after=5)
        return {"status": "ready"}

    @router.get(
        "/metrics",
        dependencies=keys,
        tags=["service"],
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **documented(UnauthorizedError),
        },
    )
    async def read_metrics() -> Response:
        """Return metrics for Prometheus."""
        return Response(service.metrics.text(), media_type=service.metrics.content_type)

    return router


def _card(model: ServedModel) -> ModelCard:
    header, spec = model.header, model.header.generator
    fields = header.model_dump(include={"image_size", "max_untiled_size", "direction", "notes"})
    return ModelCard(
        name=model.name,
        architecture=find_architecture(spec.architecture).describe(spec),
        engine=model.engine,
        source_bands=spec.source_bands,
        target_bands=spec.target_bands,
        gsd=header.gsd,
        mode=header.inference_mode,
        colors=[*colors_for(model)],
        classes=legend_of(header.palette),
        scores={name: score if abs(score) < float("inf") else None for name, score in header.scores.items()},
        **fields,
    )
