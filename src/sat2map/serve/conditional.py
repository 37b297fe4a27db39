"""Conditional requests (RFC 9110, 13): ETag, If-None-Match and 304, for routes that only read."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute


class ConditionalRoute(APIRoute):
    """Gives each answer a validator of its content, unless it has one, and answers 304 where it matches."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route's handler."""
        handle = super().get_route_handler()

        async def conditional(request: Request) -> Response:
            response = await handle(request)
            if response.status_code == 200 and "etag" not in response.headers:
                response.headers["ETag"] = f'"{hashlib.sha256(response.body).hexdigest()[:24]}"'
                if matches(request, response.headers["ETag"]):
                    return not_modified(response.headers["ETag"])
            return response

        return conditional


async def if_changed(request: Request, etag: str, respond: Callable[[], Awaitable[Response]]) -> Response:
    """Return 304 where the client has what the validator stands for; else compute the response."""
    if matches(request, etag):
        return not_modified(etag)
    response = await respond()
    response.headers["ETag"] = etag
    return response


def matches(request: Request, etag: str) -> bool:
    """Whether If-None-Match of a request names a validator."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in known or "*" in known


def not_modified(etag: str) -> Response:
    """Return the answer for a client that has the content already."""
    return Response(status_code=304, headers={"ETag": etag})
