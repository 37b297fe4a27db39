"""Clients that would starve a service: each kind runs in a process of its own, until it is told to stop."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

Address = tuple[str, int]
Attack = Callable[[Address, Event], None]

HALF = 100  # connections that stop in the middle
SLOW = 64  # connections that send one byte a second
STREAMS = 135
CHUNK = 24 * 2**20  # bytes of a PNG's text
SENDERS = 3  # clients that send large files again and again
_started: list[Event] = []  # set once the clients of this process have started
_POST = "POST {path} HTTP/1.1\r\nHost: service\r\nContent-Length: {length}\r\n\r\n"


@contextlib.contextmanager
def attack(url: str, kind: str) -> Iterator[None]:
    """Let the clients of a kind (see `ATTACKS`) do their worst meanwhile."""
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    place = address.hostname, address.port
    process = context.Process(target=_run, args=(kind, place, ready, stop), daemon=True)
    process.start()
    try:
        assert ready.wait(120), f"the clients of {kind!r} did not start"
        yield
    finally:
        stop.set()
        process.join(20)
        if process.is_alive():
            process.kill()
            process.join()


def _run(kind: str, address: Address, ready: Event, stop: Event) -> None:
    _started.append(ready)
    ATTACKS[kind](address, stop)


def send_half_headers(address: Address, stop: Event) -> None:
    """Open connections that end in the middle of a header field, and again when they are closed."""
    _hold(address, stop, b"POST /v1/translate HTTP/1.1\r\nHost: service\r\nContent-Le")


def send_half_bodies(address: Address, stop: Event) -> None:
    """Announce 200 kB and send half of them."""
    _hold(address, stop, _POST.format(path="/v1/translate", length=200_000).encode() + b"\x89PNG" * 25_000)


def send_slowly(address: Address, stop: Event) -> None:
    """Send a request one byte a second."""
    words = _POST.format(path="/v1/translate", length=200_000).encode() + bytes(2000)

    def client() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), _connected(address) as connection:
                for byte in words:
                    if stop.wait(1):
                        return
                    connection.send(bytes([byte]))

    _run_many(client, SLOW)


def watch_jobs(address: Address, stop: Event) -> None:
    """Start a job that takes long, and follow it by 135 streams; more than the service allows get 503."""
    image = _geotiff(6000)
    head, body = _exchange(address, _POST.format(path="/v1/jobs", length=len(image)).encode() + image)
    assert " 202 " in head, (head, body)
    location = f"/v1/jobs/{json.loads(body)['id']}"
    _hold(address, stop, f"GET {location}/events HTTP/1.1\r\nHost: service\r\n\r\n".encode(), STREAMS)
    _exchange(address, f"DELETE {location} HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n".encode())


def send_large_chunks(address: Address, stop: Event) -> None:
    """Send PNGs of 256² px with 24 MB of text, which decoders read before the pixels."""
    _send_again_and_again(address, stop, _png_with_text(CHUNK))


def send_large_images(address: Address, stop: Event) -> None:
    """Send photos of 4000² px, the largest that are translated at once."""
    _send_again_and_again(address, stop, _jpeg(4000))


ATTACKS: dict[str, Attack] = {
    f"{HALF} half-sent headers": send_half_headers,
    f"{HALF} half-sent bodies": send_half_bodies,
    f"{SLOW} clients that send a byte a second": send_slowly,
    f"{STREAMS} event streams, and their job": watch_jobs,
    f"{SENDERS} clients that send PNGs with a chunk of 24 MB": send_large_chunks,
    f"{SENDERS} clients that send photos of 4000² px": send_large_images,
}


def _hold(address: Address, stop: Event, words: bytes, count: int = HALF) -> None:
    """Send the same on many connections and read what comes, until the service closes them; then again."""

    def client() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), _connected(address) as connection:
                connection.sendall(words)
                connection.settimeout(0.5)
                while not stop.is_set():
                    with contextlib.suppress(TimeoutError):
                        if not connection.recv(65536):
                            break
            stop.wait(0.2)

    _run_many(client, count)


def _send_again_and_again(address: Address, stop: Event, image: bytes) -> None:
    request = _POST.format(path="/v1/translate", length=len(image)).encode() + image

    def client() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                head, _ = _exchange(address, request, stop)
                stop.wait(float(" 503 " in head))  # as it is told to

    _run_many(client, SENDERS)


def _run_many(client: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=client, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
        time.sleep(random.random() / 100)
    for ready in _started:
        ready.set()
    for thread in threads:
        thread.join(15)


@contextlib.contextmanager
def _connected(address: Address) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=30) as connection:
        yield connection


def _exchange(address: Address, request: bytes, stop: Event | None = None) -> tuple[str, bytes]:
    """Send a request and return the head and the body of the answer, as far as they came."""
    with _connected(address) as connection:
        connection.sendall(request)
        connection.settimeout(1)
        got, length = b"", None
        while stop is None or not stop.is_set():
            with contextlib.suppress(TimeoutError):
                part = connection.recv(1 << 20)
                if not part:
                    break
                got += part
            head, ended, body = got.partition(b"\r\n\r\n")
            if ended and length is None:
                lines = head.decode("latin-1").lower().split("\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith("content-length:")), 0)
            if length is not None and len(body) >= length:
                break
        head, _, body = got.partition(b"\r\n\r\n")
        return head.decode("latin-1"), body


def _town(side: int) -> NDArray[np.uint8]:
    """Return a town, drawn again and again, uint8 (side, side, 3)."""
    from sat2map.synthetic.towns import draw_town

    return np.tile(draw_town(1, size=500).source, (side // 500, side // 500, 1))


def _jpeg(side: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(_town(side)).save(out, "JPEG", quality=75)
    return out.getvalue()


def _geotiff(side: int) -> bytes:
    import rasterio
    from affine import Affine

    form: dict[str, Any] = {"driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint8"}
    form |= {
        "crs": "EPSG:32618",
        "transform": Affine(0.9, 0, 583000, 0, -0.9, 4507000),
        "compress": "deflate",
    }
    with rasterio.MemoryFile() as file:
        with file.open(**form) as dataset:
            dataset.write(np.moveaxis(_town(side), -1, 0))
        return bytes(file.read())


def _png_with_text(size: int) -> bytes:
    from benchmarks.service_process import png_of_town

    image = png_of_town(256)
    text = b"tEXtcomment\x00" + bytes(random.Random(0).choices(range(32, 127), k=1 << 10)) * (size >> 10)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return image[:33] + chunk + image[33:]
