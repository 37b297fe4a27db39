"""The table from errors to the problem details (RFC 9457) that clients receive."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

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
        slug: Name in the address of its description.
        title: Short summary, the same for every occurrence.
        advice: What a client can do about it, on the page of its description.
        detail: Sent instead of the error's text if that text is for the operator only.
    """

    status: int
    slug: str
    title: str
    advice: str
    detail: str | None = None


_LATER = "Try again after the seconds that Retry-After names."
INTERNAL = Kind(
    500,
    "internal",
    "Internal error",
    "Tell the operator of the service, with the time of the request.",
    "The error was logged; please report it.",
)
NO_SPACE = Kind(
    507, "no-space", "No storage left", _LATER, "The disk of the service is full: try again later."
)
STORAGE = Kind(
    503, "storage", "Storage unavailable", _LATER, "The service cannot write to its disk: try again later."
)
RESOURCES = Kind(
    503,
    "resources",
    "Out of resources",
    _LATER,
    "The service is short of memory or file handles: try again later.",
)
_ERRNO = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), NO_SPACE),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO), STORAGE),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN), RESOURCES),
}

# The entry of an error's nearest ancestor applies.
PROBLEMS: dict[type[Exception], Kind] = {
    http_errors.BadRequestError: Kind(
        400,
        "bad-request",
        "The request cannot be understood",
        "Compare the request with the API's description at /docs.",
    ),
    http_errors.UnauthorizedError: Kind(
        401,
        "unauthorized",
        "An API key is needed",
        "Send a key of this service: Authorization: Bearer KEY. Its operator makes keys.",
    ),
    http_errors.NotFoundError: Kind(
        404,
        "not-found",
        "Not found",
        "Check the name or the id. Uploads and results are deleted after a while: send the image again.",
    ),
    http_errors.NotAcceptableError: Kind(
        406,
        "not-acceptable",
        "No acceptable format",
        "Name one of the formats of the API's description in Accept, or leave Accept out.",
    ),
    http_errors.UploadTooSlowError: Kind(
        408, "upload-too-slow", "The upload took too long", "Send a smaller file, or use a faster connection."
    ),
    http_errors.NotReadyError: Kind(
        409,
        "not-ready",
        "The result is not ready",
        "Ask for the job's state until it is done, or follow its events.",
    ),
    http_errors.BodyTooLargeError: Kind(
        413,
        "body-too-large",
        "The upload is too large",
        "Send the image as a job (/v1/jobs), which takes larger files, or make the file smaller.",
    ),
    http_errors.TooManyPixelsError: Kind(
        413,
        "too-many-pixels",
        "The image has too many pixels",
        "Send the image as a job (/v1/jobs), or cut it into parts.",
    ),
    http_errors.UnsupportedFormatError: Kind(
        415, "unsupported-format", "Unsupported file type", "Save the image as PNG, JPEG, WebP or TIFF."
    ),
    RequestValidationError: Kind(
        422,
        "bad-parameter",
        "A parameter is not valid",
        "Correct the parameter that the message names; /docs says what it may be.",
    ),
    ImageError: Kind(
        422,
        "bad-image",
        "The image cannot be translated",
        "Open the image in an image viewer. If it is damaged there too, export it again.",
    ),
    DataError: Kind(
        422, "bad-data", "The data cannot be used", "The message says what is wrong with the data."
    ),
    http_errors.BusyError: Kind(
        503,
        "busy",
        "The service is busy",
        "Wait as many seconds as Retry-After names, and send the request again.",
    ),
    http_errors.InsufficientStorageError: Kind(507, "no-space", "No storage left", _LATER),
    http_errors.InterruptedJobError: Kind(
        500,
        "interrupted",
        "The job was interrupted",
        "The service was stopped while it worked. Send the job again.",
    ),
    OutputError: STORAGE,
    MemoryError: RESOURCES,
    Sat2MapError: Kind(
        422, "cannot-be-done", "The request cannot be processed", "The message says what stands in the way."
    ),
    Exception: INTERNAL,
}

# Refusals of the web framework.
_BY_STATUS = {
    404: PROBLEMS[http_errors.NotFoundError],
    405: Kind(405, "method-not-allowed", "Method not allowed", "Use one of the methods that Allow names."),
}


class Problem(BaseModel):
    """A problem detail (RFC 9457)."""

    type: str = Field(examples=["/problems/too-many-pixels"])
    title: str = Field(examples=["The image has too many pixels"])
    status: int = Field(examples=[413])
    detail: str = Field(
        examples=["the image has 20000×20000 px: at most 16 million pixels are translated at once"]
    )


def kinds() -> dict[str, Kind]:
    """Return all kinds of problems by slug."""
    return {
        kind.slug: kind for kind in (*PROBLEMS.values(), *_BY_STATUS.values(), NO_SPACE, STORAGE, RESOURCES)
    }


def kind_of(error: Exception) -> Kind:
    """Return the kind of problem that an error is; a system error in its chain of causes says more."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(error, http_errors.ServiceError):
        if isinstance(cause, OSError) and cause.errno in _ERRNO:
            return _ERRNO[cause.errno]
        cause = cause.__cause__
    return next(PROBLEMS[ancestor] for ancestor in type(error).__mro__ if ancestor in PROBLEMS)


def describe(error: Exception) -> Problem:
    """Return the problem detail of an error: its problem, without the hint for library users."""
    return _problem(kind_of(error), error.problem if isinstance(error, Sat2MapError) else str(error))


def to_response(error: Exception) -> Response:
    """Return the answer to a request that failed with `error`."""
    kind = kind_of(error)
    headers = {}
    if isinstance(error, http_errors.BusyError):
        headers["Retry-After"] = str(error.retry_after)
    elif kind.status in (503, 507):
        headers["Retry-After"] = "60"
    if isinstance(error, http_errors.UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"  # not Basic, or browsers would open a dialog of their own
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _response(_problem(kind, f"{where}: {first['msg']}"), headers)
    return _response(describe(error), headers)


def install(app: FastAPI, not_found_page: Callable[[Request], Response]) -> None:
    """Register handlers, so that `app` answers every error with a problem detail.

    A browser that asks for an address that does not exist gets `not_found_page`.
    """

    async def handle_known(_: Request, error: Exception) -> Response:
        if kind_of(error).detail:  # the client does not see the text
            _log.warning("%s", error)
        return to_response(error)

    async def handle_os_error(request: Request, error: Exception) -> Response:
        if kind_of(error) is INTERNAL:
            raise error
        return await handle_known(request, error)

    async def handle_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404 and "text/html" in request.headers.get("accept", ""):
            return not_found_page(request)
        kind = _BY_STATUS.get(error.status_code)
        if kind is None:
            kind = replace(PROBLEMS[http_errors.BadRequestError], status=error.status_code)
        return _response(_problem(kind, str(error.detail)), dict(error.headers or {}))

    app.add_exception_handler(Sat2MapError, handle_known)
    app.add_exception_handler(RequestValidationError, handle_known)
    app.add_exception_handler(OSError, handle_os_error)
    app.add_exception_handler(MemoryError, handle_known)
    app.add_exception_handler(HTTPException, handle_http)


def _problem(kind: Kind, detail: str) -> Problem:
    return Problem(
        type=f"/problems/{kind.slug}", title=kind.title, status=kind.status, detail=kind.detail or detail
    )


def _response(problem: Problem, headers: dict[str, str]) -> Response:
    return JSONResponse(problem.model_dump(), problem.status, headers, MEDIA_TYPE)
