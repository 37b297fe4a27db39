"""The exported page in Chromium: its megabytes, and the seconds of maps of 512 and 2048 px a side.

    python -m benchmarks.browser --chromium /usr/bin/chromium

The first map of a visit loads the model; the seconds are those of the second one.
"""

from __future__ import annotations

import argparse
import functools
import io
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sat2map.export import export_model
from sat2map.synthetic.towns import draw_town

SIDES = (512, 2048)


class _Handler(SimpleHTTPRequestHandler):
    """Serves a folder, with an isolated origin if asked to."""

    isolated = False

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: Any) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--model", default=None)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page = Path(folder) / "page"
        export_model(options.model, "web", page)
        patterns = {"all": "*.*", "model": "*.onnx", "ONNX Runtime": "ort*"}
        sizes = {
            name: sum(file.stat().st_size for file in page.rglob(pattern)) / 1e6
            for name, pattern in patterns.items()
        }
        print(", ".join(f"{name}: {size:.1f} MB" for name, size in sizes.items()))
        browser = driver.chromium.launch(
            executable_path=options.chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        for isolated in (False, True):
            handler = type("Handler", (_Handler,), {"isolated": isolated})
            server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(page)))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            _measure(browser, f"http://127.0.0.1:{server.server_address[1]}")
            server.shutdown()
        browser.close()


def _measure(browser: Any, url: str) -> None:
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    page.set_default_timeout(900_000)
    page.goto(url)
    page.wait_for_selector("#facts dd")
    engine = page.locator("#facts dd").nth(2).inner_text()
    town = draw_town(3, size=512, gsd=0.9).source
    for side in (64, *SIDES):
        out = io.BytesIO()
        Image.fromarray(np.tile(town, (4, 4, 1))[:side, :side]).save(out, "PNG")
        page.set_input_files(
            "#file", files=[{"name": "town.png", "mimeType": "image/png", "buffer": out.getvalue()}]
        )
        page.wait_for_selector("#result:not([hidden])")
        if side in SIDES:
            print(f"{engine}: {side} px: {page.inner_text('#summary').split(' · ')[0]}")
        page.click("#again")
    context.close()


if __name__ == "__main__":
    main()
