"""Owns what tells of the service: models, problems, health, figures, and the page."""

from __future__ import annotations

import functools
import io
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response
from PIL import Image
from pydantic import BaseModel, Field
from starlette.staticfiles import StaticFiles

from sat2map.serve.http_errors import BusyError, NotFoundError, UnauthorizedError
from sat2map.serve.problems import documented, kinds
from sat2map.serve.routes.access import check_key
from sat2map.serve.served_models import ServedModel
from sat2map.serve.service import Service
from sat2map.synthetic.towns import draw_town

PAGE = Path(str(resources.files("sat2map") / "page"))
EXAMPLES = (7, 19, 14, 1)  # seeds of drawn towns that show much
EXAMPLE_SIDE = 512  # px


class MapClass(BaseModel):
    """A class of a model's map."""

    name: str = Field(examples=["water"])
    colour: str = Field(examples=["#b1d0fe"])


class ModelCard(BaseModel):
    """What a model is."""

    name: str = Field(examples=["maps"])
    architecture: str = Field(examples=["unet, width 32, depth 6"])
    engine: str = Field(examples=["ONNX Runtime"])
    source_bands: int = Field(examples=[3])
    target_bands: int = Field(examples=[3])
    image_size: int | None = Field(
        examples=[256],
        description="Side to which images were resized for its training (px); null: native pixels.",
    )
    max_untiled_size: int = Field(
        examples=[1024], description="Longest side that is translated in one piece (px)."
    )
    metres_per_pixel: float | None = Field(
        examples=[2.1], description="Ground size of a pixel that it expects."
    )
    mode: str = Field(examples=["eval"])
    direction: str = Field(examples=["source-to-target"])
    classes: list[MapClass]
    scores: dict[str, float | None] = Field(description="On the images it was validated on.")
    notes: str


class ModelList(BaseModel):
    """The models of a service, the default one first, and what it takes."""

    models: list[ModelCard]
    body_bytes: int = Field(description="Largest upload to translate at once.")
    pixels: int = Field(description="Largest image to translate at once.")
    job_body_bytes: int = Field(description="Largest upload of a job.")
    live_maps: bool = Field(description="Whether there are rasters to see.")


class ProblemKind(BaseModel):
    """A kind of problem."""

    type: str
    title: str
    status: int


def about_routes(service: Service) -> APIRouter:
    """Return the routes that tell of the service."""
    router = APIRouter()
    keys = [Depends(check_key(service.keys))]
    limits = service.settings.limits

    @router.get("/v1/models", dependencies=keys, tags=["models"], responses=documented(UnauthorizedError))
    async def list_models() -> ModelList:
        """List the models, the default one first."""
        return ModelList(
            models=[_card(model) for model in service.models.values()],
            body_bytes=limits.body_bytes,
            pixels=limits.pixels,
            job_body_bytes=limits.job_body_bytes,
            live_maps=service.rasters is not None,
        )

    @router.get("/problems/{slug}", tags=["service"], responses=documented(NotFoundError))
    async def read_problem(slug: Annotated[str, InPath(max_length=64, examples=["busy"])]) -> ProblemKind:
        """Say what a kind of problem is."""
        kind = kinds().get(slug)
        if kind is None:
            raise NotFoundError(f"no kind of problem is called {slug!r}")
        return ProblemKind(type=f"/problems/{slug}", title=kind.title, status=kind.status)

    @router.get("/healthz", tags=["service"])
    async def health() -> dict[str, str]:
        """Say that the service lives."""
        return {"status": "alive"}

    @router.get("/readyz", tags=["service"], responses=documented(BusyError))
    async def readiness() -> dict[str, str]:
        """Say whether the service takes requests."""
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
    async def figures() -> Response:
        """Return figures for Prometheus."""
        return Response(service.metrics.text(), media_type=service.metrics.content_type)

    return router


def add_page(app: FastAPI) -> None:
    """Serve the page, its files and its examples."""

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return _page("index.html")

    @app.get("/map", include_in_schema=False)
    async def live_map() -> FileResponse:
        return _page("map.html")

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> FileResponse:
        return FileResponse(PAGE / "icon.svg", media_type="image/svg+xml")

    @app.get("/examples/{number}.png", include_in_schema=False)
    async def example(request: Request, number: Annotated[int, InPath(ge=1, le=len(EXAMPLES))]) -> Response:
        content = await anyio.to_thread.run_sync(_draw, EXAMPLES[number - 1])
        return Response(content, media_type="image/png", headers={"Cache-Control": "public, max-age=86400"})

    app.mount("/page", StaticFiles(directory=PAGE), name="page")


def _page(name: str) -> FileResponse:
    return FileResponse(PAGE / name, media_type="text/html", headers={"Cache-Control": "no-cache"})


@functools.lru_cache(maxsize=len(EXAMPLES))
def _draw(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(draw_town(seed, size=EXAMPLE_SIDE).source).save(out, "PNG")
    return out.getvalue()


def _card(model: ServedModel) -> ModelCard:
    header, spec = model.header, model.header.generator
    fields: dict[str, Any] = header.model_dump(
        include={"image_size", "max_untiled_size", "direction", "notes"}
    )
    classes = header.palette.classes if header.palette else ()
    return ModelCard(
        name=model.name,
        architecture=f"{spec.architecture}, width {spec.width}, depth {spec.depth}",
        engine=model.engine,
        source_bands=spec.source_bands,
        target_bands=spec.target_bands,
        metres_per_pixel=header.gsd,
        mode=header.inference_mode,
        classes=[MapClass(name=c.name, colour="#{:02x}{:02x}{:02x}".format(*c.colours[0])) for c in classes],
        scores={name: score if abs(score) < float("inf") else None for name, score in header.scores.items()},
        **fields,
    )
