"""Tests vector tiles, their style and raster tiles with MapLibre in a browser, on another origin."""

from __future__ import annotations

import functools
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "node_modules" / "maplibre-gl" / "dist"
PAGE = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="maplibre-gl.css">
<style>html, body, #map { margin: 0; height: 100%; background: #000 }</style><div id="map"></div>
<script src="maplibre-gl.js"></script>"""


class _Files(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
            return
        if self.path != "/":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    """A page with MapLibre on a server that is not ours."""
    if not LIBRARY.is_dir():
        pytest.skip("maplibre-gl is not installed: npm ci")
    handler = functools.partial(_Files, directory=str(LIBRARY))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{files.server_port}"
        files.shutdown()


def test_maplibre_draws_vector_tiles_in_the_style_of_the_service(
    browser: Any, start: Any, raster_folder: Path, site: str
) -> None:
    server = start("--rasters", raster_folder, "--allow-origin", site)
    base = f"{server.url}/rasters/north--town:classes"
    context = browser.new_context(viewport={"width": 256, "height": 256})
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda line: faults.append(line.text) if line.type == "error" else None,
    )
    page.goto(site)
    page.evaluate(
        """style => new Promise(done => {
            const options = { container: "map", style, attributionControl: false, fadeDuration: 0 };
            window.map = new maplibregl.Map(options);
            map.once("idle", done);
        })""",
        f"{base}/style.json",
    )
    found = page.evaluate("[...new Set(map.queryRenderedFeatures().map(one => one.properties.class))]")
    style = page.evaluate("map.getStyle()")
    colours = {layer["id"]: layer["paint"]["fill-color"] for layer in style["layers"]}
    assert found
    assert set(found) <= set(colours)
    shown = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).reshape(-1, 3)
    allowed = np.array([tuple(bytes.fromhex(colour[1:])) for colour in colours.values()])
    near = np.abs(shown[:, None].astype(int) - allowed).max(axis=2).min(axis=1) <= 2
    assert near.mean() > 0.9  # the rest is where borders are smoothed
    page.evaluate(
        """url => new Promise(done => {
            map.addSource("map-tiles", { type: "raster", url, tileSize: 256 });
            map.addLayer({ id: "raster", type: "raster", source: "map-tiles" });
            map.once("idle", done);
        })""",
        f"{server.url}/rasters/north--town/tilejson.json",
    )
    assert page.evaluate("map.isSourceLoaded('map-tiles')")
    assert faults == []
    context.close()
