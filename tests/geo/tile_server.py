"""A server for tests: files of a folder and a WMS of its tiles, with faults on request.

It is a process, as GDAL keeps the lock. Its argument is the folder; it prints its port.
`/control?fault=html&count=2` spoils the next two answers, after `after` good ones, and answers how many there
were, with how many bytes of files; `/requests` lists what was asked for.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

FOLDER = Path(sys.argv[1])
EDGE = math.pi * 6378137
TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".json": "application/json", ".xml": "text/xml"}


@dataclass
class Faults:
    """Which answers are spoilt, and how."""

    fault: str = ""
    count: int = 0
    after: int = 0
    seconds: float = 60


FAULTS = Faults()
REQUESTS: list[str] = []
SENT = {"bytes": 0}  # of files and their parts


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        address = urlsplit(self.path)
        query = {name.lower(): values[0] for name, values in parse_qs(address.query).items()}
        if address.path == "/control":
            for key, value in query.items():
                setattr(FAULTS, key, type(getattr(FAULTS, key))(value))
            self.send(json.dumps({"answers": len(REQUESTS), **SENT}).encode(), "application/json")
            return
        if address.path == "/requests":
            self.send(json.dumps(REQUESTS).encode(), "application/json")
            return
        REQUESTS.append(self.path)
        name = tile_of(query) if address.path == "/wms" else unquote(address.path).lstrip("/")
        fault = ""
        if FAULTS.count > 0:
            if FAULTS.after > 0:
                FAULTS.after -= 1
            else:
                FAULTS.count -= 1
                fault = FAULTS.fault
        path = FOLDER / name
        if fault == "html":
            self.send(b"<!DOCTYPE html><html><body>Please log in</body></html>", "text/html")
        elif fault.isdigit():
            self.send(b"refused", "text/plain", status=int(fault))
        elif not path.is_file():
            self.send(b"no such tile", "text/plain", status=404)
        else:
            content = path.read_bytes()
            if fault == "stall":
                time.sleep(FAULTS.seconds)
            self.send_part(content, TYPES.get(path.suffix, "application/octet-stream"), body, fault)

    def send_part(self, content: bytes, kind: str, body: bool, fault: str) -> None:
        """Answer a request of a range, or of all; a fault breaks the answer off in the middle."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = 0, len(content) - 1
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2]), last)
        part = content[first : last + 1]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if body:
            SENT["bytes"] += self.wfile.write(
                part[: len(part) // 2] if fault in ("truncate", "hang") else part
            )
        self.wfile.flush()
        if fault == "hang":
            time.sleep(FAULTS.seconds)
        if fault:
            self.close_connection = True

    def send(self, content: bytes, kind: str, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def tile_of(query: dict[str, str]) -> str:
    """Return the name of the tile that a GetMap request asks for: its box is that of a tile."""
    assert (query["request"], query["crs"]) == ("GetMap", "EPSG:3857"), query
    left, _, right, top = map(float, query["bbox"].split(","))
    zoom = round(math.log2(2 * EDGE / (right - left)))
    return f"{zoom}/{round((left + EDGE) / (right - left))}/{round((EDGE - top) / (right - left))}.png"


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        print(server.server_port, flush=True)
        server.serve_forever()
