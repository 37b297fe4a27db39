"""Owns what happens around every request: security headers, a bound on their number, figures, the log."""

from __future__ import annotations

import logging
import time
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sat2map.serve.http_errors import BusyError
from sat2map.serve.problems import answer
from sat2map.serve.prometheus import Metrics

_log = logging.getLogger("sat2map.serve.access")

# blob: are the pictures that the page has chosen, made or fetched itself.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


class SecurityHeaders:
    """Adds headers to every answer that keep a browser from doing what the page does not do."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class Admission:
    """Answers at most so many requests at a time, and tells the others to come again."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        # Whether the service lives must be told at any time.
        if scope["type"] != "http" or scope["path"] in ("/healthz", "/readyz", "/metrics"):
            await self._app(scope, receive, send)
            return
        if self._running >= self._limit:
            busy = BusyError(f"{self._running} requests are being answered already: try again in a second")
            await answer(busy)(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1


class Measure:
    """Counts, times and logs requests, without queries and bodies; our own mistakes are answered 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        self._metrics.running.inc()
        status = _GONE

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception as error:
            _log.exception("a request failed by a mistake of the service")
            if status != _GONE:  # too late for another answer
                raise
            await answer(error)(scope, receive, note)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.running.dec()
            route = getattr(scope.get("route"), "path", None) or "other"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(route, method, status).inc()
            self._metrics.latency.labels(route).observe(seconds)
            if _log.isEnabledFor(logging.INFO):
                _log.info("%s %s %d %.0f ms", method, quote(scope["path"])[:200], status, seconds * 1000)


_GONE = 499  # the client went away before its answer began
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
