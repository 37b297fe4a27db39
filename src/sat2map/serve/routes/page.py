"""The page: its files, its examples, and the answer to mistyped addresses."""

from __future__ import annotations

import functools
import html
from importlib import resources
from pathlib import Path
from typing import Annotated

import anyio.to_thread
import numpy as np
from fastapi import FastAPI, Request
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse, Response
from numpy.typing import NDArray
from starlette.staticfiles import StaticFiles

from sat2map.images.png import encode_png
from sat2map.serve.service import Service
from sat2map.synthetic.examples import SEEDS, draw_example

PAGE = Path(str(resources.files("sat2map") / "page"))
_town = functools.lru_cache(maxsize=len(SEEDS))(draw_example)
FILES = {"/": "index.html", "/map": "map.html", "/docs": "docs.html", "/favicon.ico": "icon.svg"}


def add_page(app: FastAPI, service: Service) -> None:
    """Serve the page, its files and its examples."""
    files = StaticFiles(directory=PAGE)

    def add_file(path: str, name: str) -> None:
        @app.get(path, include_in_schema=False, name=name)
        async def read(request: Request) -> Response:
            response = await files.get_response(name, request.scope)  # with ETag, and 304 where it matches
            response.headers["Cache-Control"] = "no-cache"
            return response

    for path, name in FILES.items():
        add_file(path, name)

    async def town_of(number: int) -> NDArray[np.uint8]:
        return await anyio.to_thread.run_sync(_town, number, service.models.find(None).header.gsd)

    @app.get("/examples/{number}.png", include_in_schema=False)
    async def example(number: Annotated[int, InPath(ge=1, le=len(SEEDS))]) -> Response:
        content = encode_png(await town_of(number))
        return Response(content, media_type="image/png", headers={"Cache-Control": "public, max-age=86400"})

    maps: dict[int, bytes] = {}

    @app.get("/examples/maps/{number}.png", include_in_schema=False)
    async def example_map(number: Annotated[int, InPath(ge=1, le=len(SEEDS))]) -> Response:
        if number not in maps:
            model = service.models.find(None)
            drawn = await anyio.to_thread.run_sync(model.background_translator, await town_of(number))
            maps[number] = encode_png(drawn)
        return Response(maps[number], media_type="image/png", headers={"Cache-Control": "no-cache"})

    app.mount("/page", files, name="page")


def message_page(request: Request, title: str, text: str, status: int = 200) -> Response:
    """Return a page that says one thing."""
    page = (PAGE / "message.html").read_text("utf-8")
    for name, value in {"root": request.scope.get("root_path", ""), "title": title, "text": text}.items():
        page = page.replace(f"{{{name}}}", html.escape(value))
    return HTMLResponse(page, status)


def not_found_page(request: Request) -> Response:
    """Return the page for an address that does not exist."""
    text = "There is nothing at this address. Check it for typing errors."
    return message_page(request, "Page not found", text, 404)
