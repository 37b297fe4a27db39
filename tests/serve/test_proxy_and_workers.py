"""Tests the service behind a real reverse proxy below a path, with two worker processes."""

from __future__ import annotations

import http.server
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

NAME = "north--town"
PREFIX = "/geo/maps"


@pytest.fixture
def proxied(start: Any, raster_folder: Path) -> Iterator[tuple[Any, str]]:
    """A service with two workers, and the address at which a proxy publishes it below a path."""
    server = start("--rasters", raster_folder, "--workers", 2)

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404)
                return
            headers = {"Host": self.headers["Host"], "X-Forwarded-Prefix": PREFIX}
            asked = urllib.request.Request(server.url + self.path.removeprefix(PREFIX), headers=headers)
            try:
                answer = urllib.request.urlopen(asked, timeout=60)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.end_headers()
                self.wfile.write(answer.read())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield server, f"http://127.0.0.1:{proxy.server_port}{PREFIX}"
        proxy.shutdown()


def _workers(server: Any) -> set[int]:
    """Process ids of the workers: the children that run our code, not the helper of multiprocessing."""
    living = [one for one in psutil.Process(server.process.pid).children() if one.status() != "zombie"]
    return {one.pid for one in living if "spawn_main" in " ".join(one.cmdline())}


def test_every_address_in_a_description_leads_through_the_proxy(proxied: tuple[Any, str]) -> None:
    _, base = proxied
    seen = set()
    for path in (
        f"/rasters/{NAME}:imagery/tilejson.json",
        f"/rasters/{NAME}:classes/style.json",
        "/wmts?request=GetCapabilities",
        "/wmts/1.0.0/WMTSCapabilities.xml",
        "/ogc",
        f"/ogc/collections/{NAME}:classes",
        f"/ogc/collections/{NAME}:imagery/map/tiles/WebMercatorQuad",
    ):
        text = httpx.get(base + path, timeout=60).text
        addresses = set(re.findall(r"http://127\.0\.0\.1[^\"'<> ]*", text))
        assert addresses
        assert all(one.startswith(f"{base}/") for one in addresses), addresses
        seen |= addresses
    places = {"z": "15", "x": "9650", "y": "12322"} | {
        "TileMatrix": "15", "TileRow": "12322", "TileCol": "9650",
        "tileMatrix": "15", "tileRow": "12322", "tileCol": "9650",
    }  # fmt: skip
    for address in sorted(one for one in seen if "aligned" not in one):
        for name, value in places.items():
            address = address.replace(f"{{{name}}}", value)
        if address.endswith(("map", "?")):  # these need parameters, or draw a whole map
            continue
        assert httpx.get(address, timeout=60).status_code == 200, address


def test_two_workers_answer_alike_and_one_that_dies_is_replaced(proxied: tuple[Any, str]) -> None:
    server, _ = proxied
    before = _workers(server)
    assert len(before) == 2
    address = f"{server.url}/rasters/{NAME}:imagery/tiles/15/9650/12322.png"
    # A connection of its own for each, so that both accept some.
    answers = [httpx.get(address, timeout=60) for _ in range(12)]
    assert len({(answer.headers["etag"], answer.content) for answer in answers}) == 1
    victim = next(iter(before))
    psutil.Process(victim).kill()
    deadline = time.monotonic() + 60
    while len(_workers(server) - {victim}) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(_workers(server) - {victim}) == 2
    assert httpx.get(address, timeout=60).content == answers[0].content
