"""The check of API keys before a route, and the types of parameters that routes share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer

from sat2map.errors import ImageError
from sat2map.serve.auth import ApiKeys, is_read_only
from sat2map.serve.http_errors import (
    BodyTooLargeError,
    TooManyPixelsError,
    UnauthorizedError,
    UnsupportedFormatError,
    UploadTooSlowError,
)
from sat2map.serve.openapi import documented
from sat2map.serve.pictures import Part
from sat2map.serve.responses import MEDIA_TYPES

_bearer = HTTPBearer(auto_error=False, description="An API key, if the service requires one.")
_basic = HTTPBasic(
    auto_error=False, description="The same API key as password, with any user name, for GIS clients."
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
Basic = Annotated[HTTPBasicCredentials | None, Security(_basic)]
TileKey = Annotated[
    str | None,
    Query(
        alias="key",
        max_length=128,
        description="A read-only key (its name begins with `tiles-`), for clients without header fields.",
    ),
]
ModelName = Annotated[
    str | None, Query(description="Name of a model of `/v1/models`; default: the first one.", max_length=64)
]
Gsd = Annotated[
    float | None,
    Query(
        description="Metres per pixel of a picture, if known: it is resized to the model's scale, and its "
        "map back. A GeoTIFF has its own.",
        gt=0,
        le=1000,
        allow_inf_nan=False,
        examples=[0.5],
    ),
]
Page = Annotated[
    int | None,
    Query(description="Page or frame of a picture that holds several; default: the first.", ge=1, le=65535),
]
Whole = Annotated[
    bool,
    Query(description="Take all of a picture that looks like a training pair (a photo beside its map)."),
]


def part_of_picture(page: Page = None, whole: Whole = False) -> Part:
    """Return the part of a picture that the parameters of a request name."""
    return Part(page, whole)


PartOfPicture = Annotated[Part, Depends(part_of_picture)]

BINARY: Final = {"type": "string", "format": "binary"}
IMAGES: Final = {media_type: {"schema": BINARY} for media_type in MEDIA_TYPES}
"""What OpenAPI says of bodies that are images."""

PNG: Final = {"description": "The image as a PNG.", "content": {"image/png": {"schema": BINARY}}}
UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of an image or GeoTIFF.",
        "content": {**IMAGES, "application/octet-stream": {"schema": BINARY}},
    }
}
UPLOAD_FAILURES: Final = documented(
    UnauthorizedError,
    UploadTooSlowError,
    BodyTooLargeError,
    TooManyPixelsError,
    UnsupportedFormatError,
    ImageError,
)


def location(what: str) -> dict[str, Any]:
    """Return what OpenAPI says of an answer that tells where something new is."""
    return {"headers": {"Location": {"description": f"Address of the {what}", "schema": {"type": "string"}}}}


def check_key(keys: ApiKeys | None, *, tiles: bool = False) -> Callable[..., Coroutine[Any, Any, None]]:
    """Return a dependency that checks the API key of a request and stores its name for `owner_of`.

    Args:
        keys: The keys; None: no key is needed.
        tiles: Whether read-only keys are accepted, also in the query.
    """

    async def accept(request: Request) -> None:
        request.state.owner = ""

    async def check(request: Request, bearer: Bearer, basic: Basic) -> None:
        key = bearer.credentials if bearer else basic.password if basic else None
        request.state.owner = _check(key)
        if not tiles and is_read_only(request.state.owner):
            raise UnauthorizedError("this key is for tiles only")

    async def check_with_query(request: Request, bearer: Bearer, basic: Basic, key: TileKey = None) -> None:
        if key is None or bearer or basic:
            await check(request, bearer, basic)
            return
        request.state.owner = _check(key)
        if not is_read_only(request.state.owner):
            raise UnauthorizedError("only read-only keys may stand in an address: send this one in a header")

    def _check(key: str | None) -> str:
        assert keys is not None
        return keys.check(key)

    if keys is None:
        return accept
    return check_with_query if tiles else check


def owner_of(request: Request) -> str:
    """Return the name of the request's API key; empty without keys."""
    owner: str = request.state.owner
    return owner
