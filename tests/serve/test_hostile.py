"""Tests that hostile input gets a 4xx in plain words, and never stops the service."""

from __future__ import annotations

import io
import socket
import struct
import threading
import time
import zlib
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image


def _encode(pixels: NDArray[np.uint8], form: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def _png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises that size, with a few bytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")


def _tiff_of(width: int, height: int) -> bytes:
    longs = {256: width, 257: height, 273: 200, 278: height, 279: 100}
    shorts = {258: 8, 259: 1, 262: 1, 277: 1}
    entries = [(tag, 4, 1, value) for tag, value in longs.items()]
    entries += [(tag, 3, 1, value) for tag, value in shorts.items()]
    entries = [*sorted(entries), (33550, 12, 3, 8)]  # ModelPixelScale makes it one for GDAL
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\x00" + struct.pack("<I", 8) + body + bytes(300)


VRT = (
    b'<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand>'
    b"<SourceFilename>/etc/passwd</SourceFilename></VRTRasterBand></VRTDataset>"
)
REFUSED = {
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', 415),
    "vrt": (VRT, 415),
    "pdf": (b"%PDF-1.7 ...", 415),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415),
    "gif": (_encode(np.zeros((32, 32), np.uint8), "GIF"), 415),
    "bmp": (_encode(np.zeros((32, 32), np.uint8), "BMP"), 415),
    "wms": (
        b"<GDAL_WMS><Service name='TMS'><ServerUrl>http://169.254.169.254/</ServerUrl></Service></GDAL_WMS>",
        415,
    ),
    "nothing": (b"", 400),
    "one byte": (b"\x89", 415),
    "png bomb": (_png_of(12_000, 12_000), 413),
    "png bomb that Pillow knows": (_png_of(60_000, 60_000), 422),
    "png without pixels": (_png_of(100, 0), 422),
    "tiff bomb": (_tiff_of(100_000, 100_000), 413),
    "tiny": (_encode(np.zeros((3, 3, 3), np.uint8), "PNG"), 422),
    "palette": (_encode(np.asarray(Image.new("P", (32, 32))), "PNG")[:40], 422),
}

# It can be looked at though not translated, or a job finds out when it runs.
LATER = {("/v1/preview", "tiny"), ("/v1/jobs", "tiny")}


@pytest.fixture(scope="module")
def answer_of_the_town(server: Any, town: NDArray[np.uint8]) -> bytes:
    with server.client() as client:
        return client.post("/v1/translate", content=_encode(town, "PNG")).content


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("address", ["/v1/translate", "/v1/preview", "/v1/jobs"])
def test_what_is_not_to_be_opened_is_refused_in_plain_words(
    client: httpx.Client, name: str, address: str
) -> None:
    body, status = REFUSED[name]
    if (address, name) in LATER:
        return
    answer = client.post(address, content=body, headers={"Content-Type": "image/png"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert len(problem["detail"]) > 20
    assert "/" not in problem["detail"].replace("and/or", "")
    assert "Traceback" not in answer.text


def test_five_hundred_damaged_images_leave_the_service_as_it_was(
    client: httpx.Client, town: NDArray[np.uint8], answer_of_the_town: bytes
) -> None:
    random = np.random.default_rng(0)
    small = town[:64, :64]
    whole = [_encode(small, form) for form in ("PNG", "JPEG", "WEBP", "TIFF")]
    seen: dict[int, int] = {}
    for number in range(500):
        body = bytearray(whole[number % 4])
        kind = random.integers(4)
        if kind == 0:
            body = body[: random.integers(1, len(body))]
        elif kind == 1:
            for place in random.integers(0, len(body), 20):
                body[place] = random.integers(256)
        elif kind == 2:
            for place in random.integers(8, min(120, len(body)), 4):
                body[place] = random.integers(256)
        else:
            start = int(random.integers(8, len(body)))
            body[start : start + random.integers(1, 500)] = random.bytes(int(random.integers(0, 800)))
        answer = client.post("/v1/translate", content=bytes(body))
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        assert answer.status_code < 500 or answer.status_code == 503, (number, answer.text)
        if number % 50 == 0:
            assert client.post("/v1/translate", content=_encode(town, "PNG")).content == answer_of_the_town
    assert seen[422] > 100, seen
    assert client.post("/v1/translate", content=_encode(town, "PNG")).content == answer_of_the_town


def test_broken_forms_are_bad_requests(client: httpx.Client) -> None:
    for head, body in [
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"no boundary here"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 5000, b"--x--"),
        ("multipart/mixed; boundary=x", b"--x--\r\n"),
    ]:
        answer = client.post("/v1/translate", content=body, headers={"Content-Type": head})
        assert answer.status_code == 400, (head[:60], answer.text)


def test_bodies_beyond_the_limit_are_refused_with_and_without_a_declared_length(start: Any) -> None:
    server = start("--body-mib", 1, "--job-body-mib", 1)
    with server.client() as client:
        for address in ("/v1/translate", "/v1/jobs"):
            assert client.post(address, content=bytes(2**20 + 1)).status_code == 413
            chunks = (bytes(2**16) for _ in range(40))
            assert client.post(address, content=chunks).status_code == 413
        assert client.get("/healthz").status_code == 200


def test_slow_and_vanished_clients_hold_nobody_up(start: Any, town: NDArray[np.uint8]) -> None:
    server = start("--upload-seconds", 4)
    host, port = server.url.removeprefix("http://").split(":")
    slow = socket.create_connection((host, int(port)))
    slow.sendall(b"POST /v1/translate HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n\x89PNG")
    vanished = [socket.create_connection((host, int(port))) for _ in range(5)]
    body = _encode(np.tile(town, (8, 8, 1)), "PNG")
    for connection in vanished:
        head = f"POST /v1/translate HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        connection.close()
    with server.client() as client:
        assert client.post("/v1/translate", content=_encode(town, "PNG")).status_code == 200
        for _ in range(2000):
            if "sat2map_queue_images 0.0" in (figures := client.get("/metrics").text):
                break
            time.sleep(0.05)
        assert "sat2map_queue_images 0.0" in figures
    slow.settimeout(60)
    assert b" 408 " in slow.recv(1000)
    slow.close()


def test_more_than_the_service_can_take_is_told_to_come_again(start: Any, town: NDArray[np.uint8]) -> None:
    server = start("--queue", 1, "--large-queue", 1, "--concurrent-requests", 4)
    statuses: list[int] = []
    body = _encode(np.tile(town, (8, 8, 1)), "PNG")
    together = threading.Barrier(8)

    def ask() -> None:
        with server.client() as client:
            together.wait(60)
            answer = client.post("/v1/translate", content=body)
            statuses.append(answer.status_code)
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.json()["type"] == "/problems/busy"

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 503}
    with server.client() as client:
        assert client.post("/v1/translate", content=_encode(town, "PNG")).status_code == 200


def test_work_that_takes_too_long_is_given_up(start: Any, town: NDArray[np.uint8]) -> None:
    server = start("--request-seconds", 0.2)
    with server.client() as client:
        answer = client.post("/v1/translate", content=_encode(np.tile(town, (12, 12, 1)), "PNG"))
        assert answer.status_code == 503
        assert "job" in answer.json()["detail"]
