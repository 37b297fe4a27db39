"""ASGI middleware around every request: security headers, a limit on their number, metrics and the log."""

from __future__ import annotations

import logging
import time
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sat2map.serve.http_errors import BusyError
from sat2map.serve.problems import INTERNAL, kind_of, to_response
from sat2map.serve.prometheus import Metrics
from sat2map.serve.proxy import path_of

_log = logging.getLogger("sat2map.serve.access")

# blob: and data: are images that the page has chosen, received or made itself.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_UNLIMITED = ("/healthz", "/readyz", "/metrics")
_CLIENT_GONE = 499  # nginx' status for a client that closed the connection before the answer began
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class SecurityHeadersMiddleware:
    """Adds headers to every answer that stop browsers from doing what the page never does.

    Images come from the service, and from `images`, another origin, if there is one.
    """

    def __init__(self, app: ASGIApp, images: str = "") -> None:
        self._app = app
        policy = _CSP.replace("blob: data:", f"blob: data: {images}") if images else _CSP
        self._headers = [(b"content-security-policy", policy.encode()), *_HEADERS]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class HeadMiddleware:
    """Answers HEAD as GET without the body (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # In place: the router's notes in the scope are read by the middleware outside of this one.
        scope["method"], scope["sat2map.head"] = "GET", True
        await self._app(scope, receive, without_body)


class ConcurrencyLimitMiddleware:
    """Limits the requests that are processed at the same time; further ones get 503 and `Retry-After`.

    A request counts once its body has arrived, so clients that send slowly take no slot from others. What
    arrives is limited by itself, as it takes memory. Event streams have a limit of their own (see
    `sat2map.serve.routes.jobs`), and health checks have none.
    """

    def __init__(self, app: ASGIApp, limit: int, uploads: int) -> None:
        self._app = app
        self._limit = limit
        self._uploads_limit = uploads
        self._running = 0
        self._arriving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or (path := path_of(scope)) in _UNLIMITED or path.endswith("/events"):
            await self._app(scope, receive, send)
            return
        arriving = _has_body(scope)
        if self._running >= self._limit or (arriving and self._arriving >= self._uploads_limit):
            busy = BusyError(f"{self._running} requests are being processed: try again in a second")
            await to_response(busy)(scope, receive, send)
            return
        self._arriving += arriving
        self._running += not arriving

        async def count() -> Message:
            nonlocal arriving
            message = await receive()
            if arriving and not (message["type"] == "http.request" and message.get("more_body", False)):
                arriving = False
                self._arriving -= 1
                self._running += 1
            return message

        try:
            await self._app(scope, count, send)
        finally:
            self._arriving -= arriving
            self._running -= not arriving


class MetricsMiddleware:
    """Counts, times and logs requests, without queries and bodies; answers unexpected errors with 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.running.inc()
        status = _CLIENT_GONE

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception as error:
            if kind_of(error) is INTERNAL:
                _log.exception("a request failed with an internal error")
            else:
                _log.warning("%s", error)
            if status != _CLIENT_GONE:  # the answer has begun
                raise
            await to_response(error)(scope, receive, note)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.running.dec()
            route = getattr(scope.get("route"), "path", None) or "other"
            self._metrics.requests.labels(route, method, status).inc()
            self._metrics.latency.labels(route).observe(seconds)
            if _log.isEnabledFor(logging.INFO):
                _log.info("%s %s %d %.0f ms", method, quote(path_of(scope))[:200], status, seconds * 1000)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
