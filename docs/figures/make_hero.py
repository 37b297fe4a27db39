"""Draws hero.jpg and analyst.jpg: a part of an orthophoto, its map, classes, confidence and vectors.

Run it as `python docs/figures/make_hero.py ortho.tif`, with `--model` for another model than the bundled one.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from PIL import Image, ImageDraw, ImageFont
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

import sat2map
from sat2map.images.palette import Palette

FOLDER = Path(__file__).parent
PANEL = 480  # px, side of a panel
GAP = 8  # px between panels
CAPTION = 48  # px under a panel
COLOURS = "high-contrast"  # what the classes are drawn in


def panel_row(panels: dict[str, Image.Image]) -> Image.Image:
    """Put images of one size side by side, with their captions below."""
    side = PANEL
    width = len(panels) * (side + GAP) - GAP
    sheet = Image.new("RGB", (width, side + CAPTION), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(28)
    for i, (caption, panel) in enumerate(panels.items()):
        left = i * (side + GAP)
        sheet.paste(panel.resize((side, side), Image.Resampling.LANCZOS), (left, 0))
        pen.text((left + side / 2, side + CAPTION / 2), caption, fill="#333333", font=font, anchor="mm")
    return sheet


def heat(confidence: np.ndarray) -> Image.Image:
    """Colour a confidence of 0 to 100 percent: dark blue is doubtful, yellow is sure."""
    stops = np.array([(13, 8, 135), (126, 3, 168), (204, 71, 120), (248, 149, 64), (240, 249, 33)], float)
    place = confidence / 100 * (len(stops) - 1)
    channels = [np.interp(place, range(len(stops)), stops[:, band]) for band in range(3)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def outlines(photo: Image.Image, vectors: Path, window: Window, transform: rasterio.Affine) -> Image.Image:
    """Draw the outlines of buildings and the centre lines of roads over a photo."""
    scale = PANEL * 2 / window.width
    drawn = photo.resize((PANEL * 2, PANEL * 2), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(drawn)
    to_pixels = ~window_transform(window, transform)
    layers = set(pyogrio.list_layers(vectors)[:, 0])
    for layer, colour in (("building", "#ffd60a"), ("road_centre", "#40c4ff"), ("highway_centre", "#ff5a36")):
        if layer not in layers:
            continue
        for shape in shapely.from_wkb(pyogrio.raw.read(vectors, layer=layer)[2]):
            lines = shape.boundary if layer == "building" else shape
            for line in shapely.get_parts(shapely.force_2d(lines)):
                points = [tuple(scale * v for v in to_pixels * point) for point in line.coords]
                pen.line(points, fill=colour, width=5)
    return drawn


def main() -> None:
    """Translate, vectorize, and draw both figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raster", type=Path)
    parser.add_argument("--model", help="Model file; by default the bundled one.")
    parser.add_argument("--window", type=int, nargs=3, default=(0, 0, 600), metavar=("LEFT", "TOP", "SIDE"))
    args = parser.parse_args()
    left, top, side = args.window
    window = Window(left, top, side, side)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {kind: folder / f"{kind}.tif" for kind in ("map", "classes", "confidence")}
        sat2map.translate_raster(
            args.raster,
            paths["map"],
            args.model,
            classes=paths["classes"],
            confidence=paths["confidence"],
        )
        vectors = folder / "map.gpkg"
        sat2map.vectorize(paths["map"], vectors)
        with rasterio.open(args.raster) as file:
            photo = Image.fromarray(np.moveaxis(file.read([1, 2, 3], window=window), 0, -1))
            transform = file.transform
        found = {}
        for kind, path in paths.items():
            with rasterio.open(path) as file:
                found[kind] = file.read(window=window)
        over = outlines(photo, vectors, window, transform)

    palette = Palette.load(COLOURS)
    table = np.array([kind.colours[0] for kind in palette.classes], np.uint8)
    generated = Image.fromarray(np.moveaxis(found["map"][:3], 0, -1))
    classes = Image.fromarray(table[np.minimum(found["classes"][0], len(table) - 1)])
    sheet = panel_row(
        {
            "photo": photo,
            "generated map": generated,
            f"classes, in {COLOURS} colours": classes,
            "confidence": heat(found["confidence"][0]),
        }
    )
    sheet.save(FOLDER / "hero.jpg", quality=88, subsampling=0)
    sheet = panel_row(
        {"orthophoto": photo, "map layer": generated, "vectors: buildings and centre lines": over}
    )
    sheet.save(FOLDER / "analyst.jpg", quality=88, subsampling=0)


if __name__ == "__main__":
    main()
