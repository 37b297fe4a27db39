"""Takes screenshots of every view of the page, and draws the docs' figures of them, in a Chromium.

`make screenshots` runs it in the repository's root: build/screenshots/ gets all views, at 1280 and 390 px,
light and dark; docs/figures/ gets three of them and the moving slider. The images are drawn towns. `--url`
takes a service that runs already.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.service_process import running_service
from PIL import Image
from playwright.sync_api import sync_playwright

from sat2map.models.bundled import bundled_model

FIGURES = Path(__file__).parent
FOLDER = Path("build/screenshots")
FIGURE_OF = {"light-1280-side": "page", "light-390-side": "page-phone", "dark-1280-classes": "page-classes"}
EXAMPLE = 4  # of the drawn towns, the one with every class
FRAMES = 24
WIDTH = 520  # px, of the moving image


def main() -> None:
    """Take all screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="Of a running service.")
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _service(args.url) as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for width, height in ((1280, 860), (390, 844)):
                viewport = {"width": width, "height": height}
                page = browser.new_page(base_url=url, viewport=viewport, color_scheme=scheme)
                page.set_default_timeout(120_000)
                _take_all(page, f"{scheme}-{width}")
                page.close()
        _move_slider(browser.new_page(base_url=url, viewport={"width": 1180, "height": 860}))
        browser.close()


def _take_all(page: Any, prefix: str) -> None:
    def take(name: str, *, whole: bool = True) -> None:
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(300)
        path = FOLDER / f"{prefix}-{name}.png"
        page.screenshot(path=path, full_page=whole)
        if f"{prefix}-{name}" in FIGURE_OF:
            _write_figure(path, FIGURE_OF[f"{prefix}-{name}"])

    page.goto("/")
    page.wait_for_load_state("networkidle")
    take("start")
    page.set_input_files(
        "#file", files=[{"name": "text.png", "mimeType": "image/png", "buffer": b"no image"}]
    )
    page.wait_for_selector("#alert:not([hidden])")
    take("error")
    page.click("#alert-close")
    page.click(f"[data-example='{EXAMPLE}']")
    page.wait_for_selector("#result:not([hidden])")
    for view in ("photo", "map", "classes", "confidence", "side"):
        page.check(f"#view-{view}", force=True)
        page.wait_for_timeout(1500)
        take(view)
    page.click("#more summary")
    take("downloads", whole=False)
    page.click("#more summary")
    page.click("#wrong")
    page.wait_for_timeout(6000)
    take("scales")
    for address, name in (("/docs", "docs"), ("/no/such/page", "missing"), ("/problems/busy", "problem")):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        take(name, whole=name != "docs")


def _move_slider(page: Any) -> None:
    page.goto("/")
    page.wait_for_selector("#facts dd")
    page.click(f"[data-example='{EXAMPLE}']")
    page.wait_for_selector("#result:not([hidden])", timeout=120_000)
    frames = []
    for i in range(FRAMES):
        value = 50 + 42 * math.sin(2 * math.pi * i / FRAMES)
        page.evaluate("value => { document.getElementById('slider').value = value }", value)
        page.wait_for_timeout(50)
        frame = Image.open(io.BytesIO(page.locator("#slider").screenshot())).convert("RGB")
        height = round(frame.height * WIDTH / frame.width)
        frames.append(frame.resize((WIDTH, height), Image.Resampling.LANCZOS))
    path = FIGURES / "slider.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=110, loop=0, quality=60)


def _write_figure(path: Path, name: str) -> None:
    with Image.open(path) as image:  # of a phone's long page, the first part
        image.crop((0, 0, image.width, min(image.height, 1100))).convert("RGB").save(
            FIGURES / f"{name}.webp", quality=80, method=6
        )


@contextlib.contextmanager
def _service(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory() as state, running_service(bundled_model(), Path(state)) as (found, _):
        yield found


if __name__ == "__main__":
    main()
