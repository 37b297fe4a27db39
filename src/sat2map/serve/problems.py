"""Owns the one table from an error to what a client gets: RFC 9457 problem details."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from sat2map.errors import DataError, ImageError, OutputError, Sat2MapError
from sat2map.serve import http_errors

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("sat2map.serve")


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Attributes:
        status: HTTP status.
        slug: Its name in URLs.
        title: What it is, the same for each that occurs.
        detail: What a client is told in place of the error's own words, where those are not for it.
    """

    status: int
    slug: str
    title: str
    detail: str | None = None


INTERNAL = Kind(500, "internal", "The service made a mistake", "The mistake was logged; please report it.")

# An error is answered by the entry of its nearest ancestor.
PROBLEMS: dict[type[Exception], Kind] = {
    http_errors.BadRequestError: Kind(400, "bad-request", "The request cannot be understood"),
    http_errors.UnauthorizedError: Kind(401, "unauthorized", "An API key is needed"),
    http_errors.NotFoundError: Kind(404, "not-found", "There is no such thing here"),
    http_errors.NotAcceptableError: Kind(406, "not-acceptable", "The answer cannot be given in that format"),
    http_errors.UploadTooSlowError: Kind(408, "upload-too-slow", "The upload took too long"),
    http_errors.NotReadyError: Kind(409, "not-ready", "The result is not there yet"),
    http_errors.BodyTooLargeError: Kind(413, "body-too-large", "The upload is too large"),
    http_errors.TooManyPixelsError: Kind(413, "too-many-pixels", "The image has too many pixels"),
    http_errors.UnsupportedFormatError: Kind(
        415, "unsupported-format", "Files of this kind are not opened here"
    ),
    RequestValidationError: Kind(422, "bad-parameter", "A parameter does not fit"),
    ImageError: Kind(422, "bad-image", "The image cannot be translated"),
    DataError: Kind(422, "bad-data", "The data cannot be used"),
    http_errors.BusyError: Kind(503, "busy", "The service has too much to do"),
    OutputError: Kind(503, "no-space", "The result could not be stored", "The service's disk may be full."),
    Sat2MapError: Kind(422, "cannot-be-done", "This cannot be done"),
    Exception: INTERNAL,
}

# What the web framework refuses by itself.
_BY_STATUS = {
    404: PROBLEMS[http_errors.NotFoundError],
    405: Kind(405, "method-not-allowed", "This address does not take that method"),
}


class Problem(BaseModel):
    """An answer that says what went wrong (RFC 9457)."""

    type: str = Field(examples=["/problems/too-many-pixels"])
    title: str = Field(examples=["The image has too many pixels"])
    status: int = Field(examples=[413])
    detail: str = Field(
        examples=["the image has 20000×20000 px: at most 16 million pixels are translated at once"]
    )


def kinds() -> dict[str, Kind]:
    """Return all kinds of problems by name."""
    return {kind.slug: kind for kind in (*PROBLEMS.values(), *_BY_STATUS.values())}


def kind_of(error: Exception) -> Kind:
    """Return the kind of problem that an error is."""
    return next(PROBLEMS[ancestor] for ancestor in type(error).__mro__ if ancestor in PROBLEMS)


def describe(error: Exception) -> Problem:
    """Put an error into the words that a client may read."""
    kind = kind_of(error)
    return _problem(kind, str(error))


def answer(error: Exception) -> Response:
    """Answer with the problem that an error is."""
    kind = kind_of(error)
    headers = {}
    if isinstance(error, http_errors.BusyError):
        headers["Retry-After"] = str(error.retry_after)
    elif kind.status == 503:
        headers["Retry-After"] = "60"
    if isinstance(error, http_errors.UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _response(_problem(kind, f"{where}: {first['msg']}"), headers)
    return _response(describe(error), headers)


def documented(*kinds_of_error: type[Exception]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an operation that may fail in these ways and the common ones, for OpenAPI."""
    found: dict[int | str, dict[str, Any]] = {}
    always = (http_errors.BadRequestError, RequestValidationError, http_errors.BusyError)
    for kind in sorted(
        (PROBLEMS[error] for error in (*always, *kinds_of_error)), key=lambda kind: kind.status
    ):
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        entry = found.setdefault(kind.status, {"description": kind.title, "content": content})
        if kind.title not in entry["description"]:
            entry["description"] += f"; {kind.title[0].lower()}{kind.title[1:]}"
        if kind.status == 503:
            entry["headers"] = {
                "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}
            }
    return found


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem."""

    async def known(_: Request, error: Exception) -> Response:
        if kind_of(error).detail:  # what the client is not told
            _log.warning("%s", error)
        return answer(error)

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = _BY_STATUS.get(error.status_code)
        if kind is None:
            kind = Kind(error.status_code, "bad-request", "The request cannot be understood")
        return _response(_problem(kind, str(error.detail)), dict(error.headers or {}))

    app.add_exception_handler(Sat2MapError, known)
    app.add_exception_handler(RequestValidationError, known)
    app.add_exception_handler(HTTPException, refused)


def _problem(kind: Kind, detail: str) -> Problem:
    return Problem(
        type=f"/problems/{kind.slug}", title=kind.title, status=kind.status, detail=kind.detail or detail
    )


def _response(problem: Problem, headers: dict[str, str]) -> Response:
    return JSONResponse(problem.model_dump(), problem.status, headers, MEDIA_TYPE)
