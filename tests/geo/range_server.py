"""A server for tests: one file by ranges, failing when told to; it counts.

It is a process, as GDAL keeps the lock.
"""

from __future__ import annotations

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

CONTENT = Path(sys.argv[1]).read_bytes()
STATE = {"answers": 0, "bytes": 0, "dies_after": 10**9, "failures": 10**9}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        address = urlsplit(self.path)
        if address.path == "/control":
            STATE.update({name: int(values[0]) for name, values in parse_qs(address.query).items()})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(STATE).encode())
            return
        if address.path != "/ortho.tif":
            self.send_error(404)
            return
        STATE["answers"] += 1
        if STATE["answers"] > STATE["dies_after"] and STATE["failures"] > 0:
            STATE["failures"] -= 1
            self.send_error(503)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = 0, len(CONTENT) - 1
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2]), last)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(CONTENT)}")
        self.end_headers()
        if body:
            STATE["bytes"] += last - first + 1
            self.wfile.write(CONTENT[first : last + 1])


with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
