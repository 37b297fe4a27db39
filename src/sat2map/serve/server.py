"""Runs the app on a socket, and finishes running requests at a stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sat2map.errors import SettingsError
from sat2map.serve.app import create_app
from sat2map.serve.service import Service

MAX_CONNECTIONS: Final = 4096
SPARE_HANDLES: Final = 128
# A request passes between the event loop and threads ten times, and beside a busy thread waits this long for
# Python's lock at each: with Python's 5 ms that is twice the time of the request itself.
SWITCH_INTERVAL: Final = 0.0005  # s


class _Server(uvicorn.Server):
    """Stops the service at the signal, not only when the last connection is closed."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.stop()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, as if the process had been killed.
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, self.handle_exit)
        yield
        # A second SIGTERM must not kill the process while it stops: Python restores all other handlers.
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, signal.SIG_IGN)


class _Protocol(H11Protocol):
    """Closes connections whose next header does not arrive in time; uvicorn waits without end."""

    header_seconds = 10.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_header()

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_header()
        super().data_received(data)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._cancel_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def _expect_header(self) -> None:
        self._deadline = self.loop.call_later(self.header_seconds, self.transport.close)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def run(service: Service, listener: socket.socket, *, runs_jobs: bool = True) -> None:
    """Answer requests at `listener` until SIGTERM or Ctrl-C, then finish the running ones."""
    limits = service.settings.limits
    sys.setswitchinterval(SWITCH_INTERVAL)
    _log_to_stderr()
    # The C parser would be faster, but does not bound the size of headers.
    protocol = type("_Protocol", (_Protocol,), {"header_seconds": limits.header_seconds})
    config = uvicorn.Config(
        create_app(service, runs_jobs=runs_jobs),
        access_log=False,  # ours stores less of the clients
        log_config=None,
        server_header=False,
        proxy_headers=False,  # see sat2map.serve.proxy
        timeout_graceful_shutdown=limits.shutdown_seconds,
        timeout_keep_alive=15,
        limit_concurrency=_connection_limit(),
        http=protocol,
    )
    _Server(config, service).run([listener])


def _connection_limit() -> int:
    """Return how many connections may be open: some file handles are left for files."""
    try:
        import resource

        handles, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except ImportError:  # Windows
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(16, handles - SPARE_HANDLES))


def address_of(listener: socket.socket) -> str:
    """Return the address of a listening socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Listen at an address; connections wait until `run` accepts them.

    Raises:
        SettingsError: The address is in use, or not of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Not reuse_port: two services at one port would each get some of the requests.
        return socket.create_server((address[0], address[1]), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"the service cannot listen at {host}, port {port} ({error.strerror})",
            hint="try another port",
            setting="port",
        ) from None


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("sat2map.serve", logging.INFO), ("uvicorn", logging.WARNING)):
        log = logging.getLogger(name)
        log.setLevel(level)
        log.addHandler(handler)
        log.propagate = False
