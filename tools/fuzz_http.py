"""Sends a service what it should refuse, and looks for answers of 5xx other than 503 and 507.

    python -m tools.fuzz_http [--model FILE] [--requests 3000] [--seed 1]

A service of its own is started on 127.0.0.1. It gets requests that schemathesis makes up from its OpenAPI
document (path, query and header), raw requests with damaged lines and fields, and bodies: damaged images,
huge declared sizes, TIFFs that unpack without end, JPEG 2000, broken forms. The script prints each request
that got another 5xx, no answer at all, or an answer that names a path of the service, and exits with 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import socket
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import numpy as np
from benchmarks.service_process import running_service
from tools.fuzz_files import damage, write_samples

ALLOWED = (503, 507)
PATHS = ("/v1/translate", "/v1/preview", "/v1/images", "/v1/jobs")
QUERIES = ("", "?gsd=0.5", "?page=2", "?whole=true", "?gsd=1000&page=65535", "?gsd=1e-300")


class Failure(NamedTuple):
    """A request that was answered as none should be, and how."""

    request: str
    answer: str


def fuzz_parameters(url: str, examples: int, seen: Counter[int]) -> Iterator[Failure]:
    """Send what schemathesis makes up for each operation."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    usual = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    failures: list[Failure] = []
    for result in schema.get_all_operations():
        failures.clear()

        @usual
        @given(case=result.ok().as_strategy())
        def check(case: Any) -> None:
            request = f"{case.method} {case.formatted_path} {case.query} {case.headers}"
            try:
                answer = case.call(timeout=60)
            except Exception as error:
                failures.append(Failure(request, repr(error)))
                return
            seen[answer.status_code] += 1
            failures.extend(_judge(request, answer.status_code, answer.content.decode("latin-1")))

        check()
        yield from failures


def fuzz_lines(url: str, count: int, rng: np.random.Generator, seen: Counter[int]) -> Iterator[Failure]:
    """Send requests whose lines and fields are damaged, as bytes."""
    address = urlsplit(url)
    for _ in range(count):
        request = _raw_request(rng)
        try:
            with socket.create_connection(
                (str(address.hostname), address.port or 80), timeout=60
            ) as connection:
                connection.sendall(request)
                with contextlib.suppress(OSError):  # some are closed at once
                    connection.shutdown(socket.SHUT_WR)
                answer = b""
                with contextlib.suppress(ConnectionError):
                    while part := connection.recv(65536):
                        answer += part
        except TimeoutError:
            yield Failure(repr(request), "no answer in 60 s")
            continue
        except ConnectionError:
            continue
        line = answer.split(b"\r\n", 1)[0].split()
        status = int(line[1]) if len(line) > 1 and line[1].isdigit() else 0  # closed without a word
        seen[status] += 1
        yield from _judge(repr(request), status, answer.decode("latin-1"))


def fuzz_bodies(
    url: str, count: int, rng: np.random.Generator, seen: Counter[int], folder: Path
) -> Iterator[Failure]:
    """Send bodies that are no images, no longer images, or far too much of one."""
    samples = [path.read_bytes() for path in write_samples(folder)]
    bombs = [make() for make in BOMBS]
    with httpx.Client(base_url=url, timeout=120) as client:
        for number in range(count):
            kind = rng.integers(10)
            body = bombs[rng.integers(len(bombs))] if kind < 2 else samples[rng.integers(len(samples))]
            if kind > 2:
                body = damage(body, rng)
            path = PATHS[rng.integers(len(PATHS))] + QUERIES[rng.integers(len(QUERIES))]
            headers = {}
            if kind == 9:
                headers["Content-Type"] = ("multipart/form-data", "multipart/form-data; boundary=x")[
                    number % 2
                ]
                body = (
                    b"--x\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\n"
                    + body
                    + b"\r\n--x--"
                )
            request = f"POST {path} {headers} {body[:60]!r}… ({len(body)} bytes)"
            try:
                answer = client.post(path, content=body, headers=headers)
                seen[answer.status_code] += 1
                yield from _judge(
                    request, answer.status_code, answer.text if answer.status_code > 299 else ""
                )
                if answer.status_code == 201:
                    location = answer.headers["location"]
                    for part in ("map", "summary", "preview", "map?page=2&product=confidence"):
                        answer = client.get(f"{location}/{part}")
                        seen[answer.status_code] += 1
                        yield from _judge(f"{request}, then {part}", answer.status_code, _text(answer))
                    client.delete(location)
                elif answer.status_code == 202:
                    yield from _follow(client, answer.headers["location"], request)
            except httpx.HTTPError as error:
                yield Failure(request, repr(error))


def _follow(client: httpx.Client, job: str, request: str) -> Iterator[Failure]:
    until = time.monotonic() + 60
    while (status := client.get(job).json())["state"] in ("queued", "running"):
        if time.monotonic() > until:
            yield Failure(request, "the job does not end in 60 s")
            break
        time.sleep(0.1)
    problem = status.get("error") or {}
    if problem.get("status", 422) >= 500 and problem["status"] not in ALLOWED:
        yield Failure(request, str(problem))
    client.delete(job)


def _text(answer: httpx.Response) -> str:
    return answer.text if answer.status_code > 299 else ""


def _judge(request: str, status: int, text: str) -> Iterator[Failure]:
    if status >= 500 and status not in ALLOWED:
        yield Failure(request, f"{status} {text[:300]}")
    elif "Traceback" in text or tempfile.gettempdir() + "/" in text or "site-packages" in text:
        yield Failure(request, f"{status}, which names a path: {text[:300]}")


def _raw_request(rng: np.random.Generator) -> bytes:
    def pick(*choices: bytes) -> bytes:
        return choices[rng.integers(len(choices))]

    noise = bytes(rng.integers(0, 256, rng.integers(1, 40), dtype=np.uint8))
    method = pick(b"GET", b"POST", b"HEAD", b"OPTIONS", b"PATCH", b"DELETE", b"TRACE", b"get", b"", noise)
    path = pick(
        b"/",
        b"/v1/translate",
        b"/v1/jobs",
        b"/v1/jobs/x/events",
        b"/v1/images/%00",
        b"/v1/images/%2e%2e/map",
        b"/v1/images/..%2f..%2fetc%2fpasswd",
        b"/rasters/%ff/tilejson.json",
        b"/page/..%2f..%2fapp.py",
        b"//",
        b"*",
        b"/metrics?" + b"a=1&" * 5000,
        b"/problems/" + b"a" * 3000,
        b"/v1/translate?gsd=" + noise.hex().encode(),
        b"http://other/v1/models",
        b"/" + noise,
        b"/wmts?service=WMTS&request=GetTile&TILEMATRIX=nan&TILEROW=1e400",
    )
    fields = [
        pick(b"Host: service", b"Host: " + noise, b"Host:", b"X: y"),
        pick(
            b"Content-Length: 10",
            b"Content-Length: -1",
            b"Content-Length: 1e3",
            b"Content-Length: 99999999999999",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip, chunked",
            b"Content-Length: 3\r\nContent-Length: 4",
        ),
        pick(
            b"Accept: image/png;q=nan",
            b"Accept: " + b"image/*," * 2000,
            b"Accept: ;;;,,,",
            b"Accept: " + noise,
        ),
        pick(
            b"Range: bytes=-1",
            b"Range: bytes=9-1,2-",
            b"If-None-Match: " + noise,
            b"If-Modified-Since: never",
        ),
        pick(
            b"X-Forwarded-For: " + noise,
            b"X-Forwarded-Proto: gopher",
            b"X-Forwarded-Prefix: //evil",
            b"Forwarded: for=;",
        ),
        pick(
            b"Authorization: Basic !!!",
            b"Authorization: Bearer " + noise,
            b"Authorization: Basic OjpA",
            b"Cookie: a",
        ),
        pick(
            b"Content-Type: multipart/form-data; boundary=" + noise,
            b"Content-Type: ;",
            b"Expect: 100-continue",
        ),
        pick(
            b"Origin: null",
            b"Origin: http://evil",
            b"Access-Control-Request-Method: GET",
            b"Upgrade: websocket",
        ),
    ]
    kept = [field for field in fields if rng.random() < 0.6]
    version = pick(b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9", b"")
    body = pick(b"", b"0123456789", b"5\r\nhello\r\n0\r\n\r\n", b"fffffffffffff\r\nx", noise)
    return b"\r\n".join([method + b" " + path + b" " + version, b"Connection: close", *kept, b"", body])


def _png(width: int, height: int, *, depth: int = 8, colour: int = 2, text: int = 0) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    out = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    )
    if text:
        out += chunk(b"zTXt", b"c\x00\x00" + zlib.compress(bytes(text)))
    return out + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")


def _tiff_bomb(side: int, tile: int) -> bytes:
    """Return a TIFF all of whose tiles are one run of zeros in the file."""
    data = zlib.compress(bytes(min(tile, 4000) ** 2 * 3), 9)
    tiles = min((-(-side // tile)) ** 2, 10_000)
    tags = [
        (256, 4, side),
        (257, 4, side),
        (258, 3, 8),
        (259, 3, 8),
        (262, 3, 2),
        (277, 3, 3),
        (322, 4, tile),
        (323, 4, tile),
    ]
    start = 8 + len(data)
    offsets, lengths = start, start + 4 * tiles
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    entries += struct.pack("<HHII", 324, 4, tiles, offsets) + struct.pack("<HHII", 325, 4, tiles, lengths)
    lists = struct.pack("<I", 8) * tiles + struct.pack("<I", len(data)) * tiles
    directory = start + len(lists)
    return (
        struct.pack("<2sHI", b"II", 42, directory) + data + lists
        + struct.pack("<H", len(tags) + 2) + entries + struct.pack("<I", 0)
    )  # fmt: skip


def _endless_pages() -> bytes:
    """Return a TIFF whose directory names itself as the next one."""
    out = bytearray(_tiff_bomb(16, 16))
    out[-4:] = out[4:8]
    return bytes(out)


def _jpeg(width: int, height: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "JPEG")
    data = bytearray(out.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


BOMBS: tuple[Callable[[], bytes], ...] = (
    lambda: _png(2**31 - 1, 2**31 - 1),
    lambda: _png(3_400_000, 16),
    lambda: _png(60_000, 60_000, depth=1, colour=0),
    lambda: _png(4000, 4000, depth=16, colour=6),
    lambda: _png(64, 64, text=200_000_000),
    lambda: _png(0, 5),
    lambda: _tiff_bomb(4000, 4000),
    lambda: _tiff_bomb(60_000, 1024),
    lambda: _tiff_bomb(2**31 - 16, 2**20),
    _endless_pages,
    lambda: _jpeg(65_500, 65_500),
    lambda: _jpeg(1, 65_500),
    lambda: b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(200),
    lambda: b"\xff\x4f\xff\x51" + bytes(200),
    lambda: b"RIFF\xff\xff\xff\x7fWEBPVP8X" + bytes(100),
    lambda: b'<VRTDataset rasterXSize="9" rasterYSize="9"/>',
    lambda: b"",
)


def fuzz(url: str, requests: int, seed: int, folder: Path, seen: Counter[int]) -> Iterator[Failure]:
    """Send all kinds of requests to a service.

    Args:
        url: Its address.
        requests: About how many in all.
        seed: Which ones.
        folder: For sample files.
        seen: Counts the answers by status.

    Yields:
        Each request that was answered as none should be.
    """
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from fuzz_parameters(url, max(2, requests // 90), seen)
    yield from fuzz_lines(url, requests // 3, rng, seen)
    yield from fuzz_bodies(url, requests // 3, rng, seen, folder)
    ready = httpx.get(f"{url}/readyz", timeout=60).status_code
    if ready != 200:
        yield Failure("GET /readyz, at the end", str(ready))


def main() -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("src/sat2map/weights/maps.safetensors"))
    parser.add_argument("--requests", type=int, default=3000, help="about how many requests")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    given = parser.parse_args()
    seen, failures = Counter[int](), 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with running_service(given.model, folder / "state", "--memory-mib", 1024) as (url, _):
            for failure in fuzz(url, given.requests, given.seed, folder, seen):
                failures += 1
                print(f"{failure.request[:400]}\n    {failure.answer}", flush=True)
    print(f"{sum(seen.values())} answers {dict(sorted(seen.items()))}, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
