"""Owns the check of API keys before a route, and the types that routes share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from sat2map.serve.auth import ApiKeys

_bearer = HTTPBearer(auto_error=False, description="An API key, where the service asks for one.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
ModelName = Annotated[
    str | None, Query(description="Name of a model of `/v1/models`; none: the first one.", max_length=64)
]
GroundSize = Annotated[
    float | None,
    Query(
        description="Ground size of a pixel of a picture (metres), where it is known: the picture is brought "
        "to the model's scale, and its map back. A GeoTIFF's own is used instead.",
        gt=0,
        le=1000,
        allow_inf_nan=False,
        examples=[0.5],
    ),
]


def check_key(keys: ApiKeys | None) -> Callable[..., Coroutine[Any, Any, None]]:
    """Return a dependency that lets those through who may ask, and notes who it is for `owner_of`."""

    async def anybody(request: Request) -> None:
        request.state.owner = ""

    async def known(request: Request, credentials: Credentials) -> None:
        assert keys is not None
        request.state.owner = keys.check(credentials.credentials if credentials else None)

    return anybody if keys is None else known


def owner_of(request: Request) -> str:
    """Return the name of the request's API key; empty where there are no keys."""
    owner: str = request.state.owner
    return owner
