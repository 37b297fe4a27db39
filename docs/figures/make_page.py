"""Draws page.png and slider.webp: the service's page with an image and its map, in a Chromium.

Run it as `python docs/figures/make_page.py photo.jpg --gsd 0.3` in the repository's root, with `--model` for
another model than the bundled one. Chromium must be installed.
"""

from __future__ import annotations

import argparse
import io
import math
import shutil
import tempfile
from pathlib import Path

from benchmarks.service_process import running_service
from PIL import Image
from playwright.sync_api import sync_playwright

from sat2map.models.bundled import bundled_model

FOLDER = Path(__file__).parent
FRAMES = 24
WIDTH = 520  # px, of the moving image


def main() -> None:
    """Start the service, upload the photo, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--gsd", type=float, help="Metres per pixel of the photo.")
    parser.add_argument("--model", type=Path, default=bundled_model())
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with (
        tempfile.TemporaryDirectory() as state,
        running_service(args.model, Path(state)) as (url, _),
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 860})
        page.goto(url)
        page.wait_for_load_state("networkidle")
        if args.gsd:
            page.fill("#gsd", f"{args.gsd:g}")
        page.set_input_files("#file", args.photo)
        page.wait_for_selector("#result:not([hidden])", timeout=120_000)
        move = "value => { document.getElementById('slider').value = value }"
        page.evaluate(move, 45)
        page.wait_for_timeout(500)
        page.screenshot(path=FOLDER / "page.png")
        frames = []
        for i in range(FRAMES):
            page.evaluate(move, 50 + 42 * math.sin(2 * math.pi * i / FRAMES))
            page.wait_for_timeout(50)
            frame = Image.open(io.BytesIO(page.locator("#slider").screenshot())).convert("RGB")
            height = round(frame.height * WIDTH / frame.width)
            frames.append(frame.resize((WIDTH, height), Image.Resampling.LANCZOS))
        path = FOLDER / "slider.webp"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=110, loop=0, quality=70)
        browser.close()


if __name__ == "__main__":
    main()
