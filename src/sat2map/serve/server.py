"""Owns running the app: it listens, and finishes what is running when it is told to stop."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
from collections.abc import Iterator
from types import FrameType

import uvicorn

from sat2map.errors import SettingsError
from sat2map.serve.app import create_app
from sat2map.serve.service import Service


class _Server(uvicorn.Server):
    """Tells the service at once when it has to stop, not only when the last client has gone."""

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
        # A second SIGTERM on the way out must not kill it either: Python takes back all handlers but this.
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, signal.SIG_IGN)


def run(service: Service, listener: socket.socket) -> None:
    """Answer at `listener` until SIGTERM or Ctrl-C, then finish what is running."""
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _log_to_stderr()
    config = uvicorn.Config(
        create_app(service),
        access_log=False,  # ours tells less of the clients
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=service.settings.limits.shutdown_seconds,
        timeout_keep_alive=15,
        # Twice the requests, as idle connections count too; ours, below it, answers with Retry-After.
        limit_concurrency=2 * service.settings.limits.concurrent_requests + 64,
        http="h11",  # the other parser, though faster, takes headers without end
    )
    print(f"serving {', '.join(service.models)} at {address}  (the page; stop with Ctrl-C)", flush=True)
    _Server(config, service).run([listener])


def listen(host: str, port: int) -> socket.socket:
    """Take an address; who connects from now on waits until `run` answers.

    Raises:
        SettingsError: The address is taken, or not of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Not reuse_port: two services at one port would each get some of the requests.
        return socket.create_server((address[0], address[1]), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"--host {host} --port {port} cannot be used ({error.strerror}): try another --port"
        ) from None


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("sat2map.serve", logging.INFO), ("uvicorn", logging.WARNING)):
        log = logging.getLogger(name)
        log.setLevel(level)
        log.addHandler(handler)
        log.propagate = False
