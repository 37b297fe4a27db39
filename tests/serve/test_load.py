"""Tests what one client can take from the others: memory, time, slots, disk."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sat2map.errors import ImageError, OutputError
from sat2map.serve.auth import new_key
from sat2map.serve.decoder import Decoder
from sat2map.serve.http_errors import (
    BusyError,
    InsufficientStorageError,
    NotFoundError,
    TooManyPixelsError,
)
from sat2map.serve.job_watch import Watch
from sat2map.serve.memory import MemoryBudget
from sat2map.serve.problems import to_response


def _png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]


def test_memory_is_refused_when_it_can_never_be_had_and_busy_while_others_hold_it() -> None:
    budget = MemoryBudget(100)
    with budget.account() as reserve, budget.account() as other:
        reserve(60)
        with pytest.raises(BusyError):
            other(50)
        with pytest.raises(TooManyPixelsError):
            other(101)
        other(40)
        assert budget.used == 100
    assert budget.used == 0


def test_reserved_memory_is_waited_for() -> None:
    budget = MemoryBudget(10)
    held = threading.Event()
    order: list[str] = []

    def hold() -> None:
        with budget.account() as reserve:
            reserve(10)
            held.set()
            time.sleep(0.1)
            order.append("given back")

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    with budget.account(patience=60) as reserve:
        reserve(10)
        order.append("reserved")
    thread.join()
    assert order == ["given back", "reserved"]


def test_a_large_file_is_decoded_in_a_child_as_in_the_parent(town: NDArray[np.uint8], tmp_path: Path) -> None:
    decoder = Decoder(2**28)
    plain = _png(town)
    large = _with_chunk(plain, b"abCd", bytes(2**21))
    np.testing.assert_array_equal(decoder.pixels(large).pixels, town)
    assert decoder.size(large) == town.shape[:2]
    (tmp_path / "damaged.png").write_bytes(large[:-60_000])
    with pytest.raises(ImageError):
        decoder.pixels(tmp_path / "damaged.png")
    decoder.close()


@pytest.mark.parametrize("has_folder", [True, False])
def test_large_pixels_come_back_whole_and_leave_no_file(
    town: NDArray[np.uint8], tmp_path: Path, has_folder: bool
) -> None:
    folder = tmp_path / "now"
    if not has_folder:  # as where the disk is full
        folder.write_bytes(b"")
    image = np.tile(town, (-(-1500 // len(town)), -(-1500 // town.shape[1]), 1))[:1500, :1499]
    decoder = Decoder(2**28, folder=folder)
    np.testing.assert_array_equal(decoder.pixels(_png(image)).pixels, image)
    decoder.close()
    assert not has_folder or not list(folder.iterdir())


def test_all_who_watch_a_job_share_one_look_at_it() -> None:
    looks: list[str] = []

    def read(job: str, owner: str) -> str:
        looks.append(job)
        if job == "gone":
            raise NotFoundError("there is no such job")
        return f"{job} of {owner}"

    async def watch() -> list[str | None]:
        watched = Watch(read)
        leaving = asyncio.create_task(watched.next("a", "me"))
        await asyncio.sleep(0)
        leaving.cancel()
        found = await asyncio.gather(*(watched.next("a", "me") for _ in range(64)))
        return [*set(found), await watched.next("a", "me"), await watched.next("gone", "me")]

    assert asyncio.run(watch()) == ["a of me", "a of me", None]
    assert looks == ["a", "a", "gone"]


def test_a_decoder_that_takes_too_much_memory_fails_alone(
    town: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sat2map.serve.decoder._HEADROOM", 2**26)
    decoder = Decoder(0)  # a child may take its headroom only
    with pytest.raises(ImageError):
        decoder.pixels(_with_chunk(_png(np.zeros((6_000, 6_000, 3), np.uint8)), b"abCd", bytes(2**21)))
    assert decoder.pixels(_with_chunk(_png(town), b"abCd", bytes(2**21))).pixels.shape == town.shape
    decoder.close()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(28, "No space left on device"), 507),
        (OSError(30, "Read-only file system"), 503),
        (OSError(24, "Too many open files"), 503),
        (MemoryError(), 503),
        (InsufficientStorageError("full"), 507),
        (OutputError("/srv/state/x cannot be written"), 503),
    ],
)
def test_system_errors_are_problems_with_retry_after_and_without_paths(error: Exception, status: int) -> None:
    response = to_response(error)
    assert response.status_code == status
    assert int(response.headers["retry-after"]) > 0
    assert b"/srv" not in response.body


@pytest.fixture(scope="module")
def large() -> bytes:
    """A picture of 700 tiles: a job that goes on while a test looks at it."""
    return _png(np.zeros((6144, 6144, 3), np.uint8))


def test_a_job_during_which_the_process_died_is_not_started_again(start: Any, large: bytes) -> None:
    first = start()
    with first.client() as client:
        address = client.post("/v1/jobs", content=large).headers["location"]
        while not client.get(address).json()["tiles_done"]:
            time.sleep(0.05)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    with start().client() as client:
        job = client.get(address).json()
        assert job["state"] == "failed"
        assert job["error"]["type"] == "/problems/interrupted"


def test_half_a_header_and_a_slow_body_are_ended(start: Any) -> None:
    server = start("--header-seconds", 1, "--upload-seconds", 2)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as half:
        half.sendall(b"POST /v1/translate HTTP/1.1\r\nHost: x\r\nContent-Le")
        assert half.recv(100) == b""
    with socket.create_connection((host, int(port)), timeout=60) as slow:
        slow.sendall(b"POST /v1/translate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
        assert b" 408 " in slow.recv(1000)


def test_event_streams_have_a_limit_of_their_own(start: Any, large: bytes) -> None:
    server = start("--event-streams", 2, "--concurrent-requests", 2)
    with server.client() as client:
        address = client.post("/v1/jobs", content=large).headers["location"]
        with (
            client.stream("GET", f"{address}/events") as one,
            client.stream("GET", f"{address}/events") as two,
        ):
            lines = [one.iter_lines(), two.iter_lines()]  # kept, as a dropped iterator closes its stream
            assert [next(stream) for stream in lines] == ["event: progress"] * 2
            third = httpx.get(f"{server.url}{address}/events", timeout=60)
            assert third.status_code == 503
            assert int(third.headers["retry-after"]) > 0
            assert httpx.get(f"{server.url}/v1/models", timeout=60).status_code == 200
        client.delete(address)


def test_head_answers_as_get_without_a_body(client: httpx.Client) -> None:
    for path in ("/", "/map", "/v1/models", "/page/icon.svg", "/rasters", "/openapi.json"):
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]


def test_the_page_is_not_sent_again_when_it_has_not_changed(client: httpx.Client) -> None:
    etag = client.get("/").headers["etag"]
    assert client.get("/", headers={"If-None-Match": etag}).status_code == 304


def test_only_trusted_proxies_change_addresses(start: Any, raster_folder: Path) -> None:
    headers = {"X-Forwarded-Prefix": "/sat", "X-Forwarded-Proto": "https", "Host": "maps.example.org"}
    path = "/rasters/north--town/tilejson.json"
    server = start("--rasters", raster_folder, "--root-path", "/own", "--trusted-proxies", "10.0.0.1")
    with server.client() as client:
        tiles = client.get(path, headers=headers).json()["tiles"][0]
        assert tiles.startswith("http://maps.example.org/own/rasters/")
        assert client.get(f"/own{path}").status_code == 200


def test_key_files_keep_their_mode_and_new_ones_are_closed(tmp_path: Path) -> None:
    new_key(tmp_path / "keys", "one")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600
    (tmp_path / "keys").chmod(0o640)
    new_key(tmp_path / "keys", "two")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o640


def test_a_read_only_key_opens_tiles_from_the_query_alone(
    start: Any, raster_folder: Path, tmp_path: Path
) -> None:
    keys = {name: new_key(tmp_path / "keys", name) for name in ("ann", "tiles-web")}
    server = start("--rasters", raster_folder, "--api-keys", tmp_path / "keys")
    path = "/rasters/north--town/tilejson.json"
    with server.client() as client:
        assert client.get(path).status_code == 401
        tiles = client.get(path, params={"key": keys["tiles-web"]}).json()["tiles"][0]
        assert tiles.endswith(f"?key={keys['tiles-web']}")
        assert client.get(path, params={"key": keys["ann"]}).status_code == 401
        assert client.get("/v1/models", params={"key": keys["tiles-web"]}).status_code == 401
    server.stop()
    assert not any(key in line for key in keys.values() for line in server.log)
