"""Draws town.jpg, live-map.jpg and qgis.jpg: a drawn town, and what sat2map makes of it.

Run `make figures-rasters`. Chromium must be installed for the second, and QGIS and xvfb for the third;
without them that figure is left as it is, and a line says so. All are made with the bundled model.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from docs.figures.make_hero import outlines, panel_row
from PIL import Image
from playwright.sync_api import sync_playwright
from rasterio.windows import Window
from tools.qgis.check import make_outputs, photograph_window, serve

from sat2map.geo.qgis_styles import ramp_colours

FOLDER = Path(__file__).parent
SIDE = 512  # px of the town


def main() -> None:
    """Make the outputs once, and all figures of them."""
    # Not below /tmp: QGIS marks layers from there as temporary.
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".figures-") as name:
        folder = Path(name)
        make_outputs(folder)
        town_sheet(folder).save(FOLDER / "town.jpg", quality=88, subsampling=0)
        if chromium := shutil.which("chromium") or shutil.which("google-chrome"):
            with serve(folder) as (address, _):
                live_map(chromium, address).save(FOLDER / "live-map.jpg", quality=88, subsampling=0)
        else:
            print("live-map.jpg is left as it is: no Chromium is installed")
        if shutil.which("qgis") and shutil.which("xvfb-run"):
            photograph_window(folder, folder / "window.png")
            with Image.open(folder / "window.png") as window:
                window.convert("RGB").save(FOLDER / "qgis.jpg", quality=88, subsampling=0)
        else:
            print("qgis.jpg is left as it is: apt-get install qgis python3-qgis xvfb")


def town_sheet(folder: Path) -> Image.Image:
    """Return the town as photo, map, classes, confidence and vectors, side by side."""

    def read(path: Path) -> np.ndarray:
        with rasterio.open(path) as file:
            return file.read()

    with rasterio.open(folder / "classes.tif") as file:
        table = np.array([file.colormap(1)[number][:3] for number in range(256)], np.uint8)
    with rasterio.open(folder / "rasters" / "town.tif") as file:
        transform = file.transform
    photo = Image.fromarray(np.moveaxis(read(folder / "rasters" / "town.tif")[:3], 0, -1))
    confidence = ramp_colours()[np.minimum(read(folder / "confidence.tif")[0], 100)]
    window = Window(0, 0, photo.width, photo.height)
    return panel_row(
        {
            "drawn town": photo,
            "map": Image.fromarray(np.moveaxis(read(folder / "map.tif")[:3], 0, -1)),
            "classes": Image.fromarray(table[read(folder / "classes.tif")[0]]),
            "confidence": Image.fromarray(confidence),
            "vectors": outlines(photo, folder / "town.gpkg", window, transform),
        }
    )


def live_map(chromium: str, address: str) -> Image.Image:
    """Return a picture of the live map's page."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 760})
        page.goto(f"{address}/map")
        page.wait_for_selector(".leaflet-generated-pane .leaflet-tile-loaded", timeout=120_000)
        page.wait_for_selector("#working", state="hidden", timeout=120_000)
        page.wait_for_timeout(1500)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    return picture


if __name__ == "__main__":
    main()
