"""A service in a process of its own, and light clients of it, for measurements."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

COMMAND = "import sys; from sat2map.cli.main import main; main(['serve', *sys.argv[1:]])"


@contextlib.contextmanager
def running_service(model: Path, state: Path, *flags: object) -> Iterator[tuple[str, int]]:
    """Start a service at a free port, yield its address and process id, and stop it."""
    words = ["--model", model, "--state", state, "--port", 0, *flags]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if line.startswith("serving ")), "")
        if not line:
            raise SystemExit(f"the service did not start: it ended with {process.wait()}")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield line.split(" at ")[1].split()[0], process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def translate(connection: HTTPConnection, body: bytes, accept: str = "image/png") -> tuple[int, bytes]:
    """Send an image over a connection that is kept; returns the status and the body of the answer."""
    connection.request("POST", "/v1/translate", body, {"Accept": accept})
    answer = connection.getresponse()
    return answer.status, answer.read()


def run_clients(url: str, count: int, client: Callable[[HTTPConnection], None]) -> None:
    """Run that many clients at the same time, each in a thread and with a connection of its own.

    They are the standard library's: on two cores, what a client takes is taken from the service, and a client
    that does more for its user (redirects, cookies, pools) takes ten times as much a request.
    """
    address = urlsplit(url)
    assert address.hostname

    def run(_: int) -> None:
        with contextlib.closing(
            HTTPConnection(str(address.hostname), address.port, timeout=120)
        ) as connection:
            client(connection)

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(run, range(count)))


def png_of_town(side: int) -> bytes:
    """Return a drawn town as a PNG."""
    from sat2map.synthetic.towns import draw_town

    out = io.BytesIO()
    Image.fromarray(draw_town(1, size=side).source).save(out, "PNG")
    return out.getvalue()
