"""Synthetic towns as data: a pair of images for a seed, and a folder of such pairs to train on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import DataError, SettingsError
from sat2map.files import atomic_write_text, locks
from sat2map.images.palette import Palette
from sat2map.images.pixels import write_image
from sat2map.settings import TownLayout
from sat2map.synthetic.canvas import Polygon
from sat2map.synthetic.layout import METRES_PER_UNIT
from sat2map.synthetic.paint import paint_town
from sat2map.synthetic.planning import plan_town

SIZES = (16, 4096)
"""The smallest and the largest side of a picture, in pixels."""

GSDS = (0.3, 4.2)
"""The smallest and the largest ground sample distance, in metres per pixel."""

GSD = 0.9
"""Metres per pixel unless something else is asked for: those of the *maps* data set."""

MARKER = "towns.json"
"""The file that tells a folder of ours, and says how it was drawn."""

OURS = re.compile(r"(train|val)/((source|target)/)?\d{5,}\.png|polygons/(train|val)/\d{5,}\.geojson")


@dataclass(frozen=True)
class Town:
    """A drawn town from above and on the map, on the same grid.

    Attributes:
        source: What a satellite would see, uint8 (size, size, 3), RGB.
        target: The web map of it, uint8 (size, size, 3), RGB, in the colours of the `maps` palette.
        polygons: What the map shows, with its true outlines, in the order in which it was painted.
        gsd: Metres per pixel.
    """

    source: NDArray[np.uint8]
    target: NDArray[np.uint8]
    polygons: list[Polygon]
    gsd: float

    def to_geojson(self) -> str:
        """Return the polygons as GeoJSON, in pixels from the top left corner; later ones cover earlier ones.

        The class of each is that of the palette `maps`; ground without a polygon is road.
        """
        palette = Palette.load("maps")
        classes = palette.classify(np.array([colour for colour, _ in self.polygons], np.uint8).reshape(-1, 3))
        features = [
            {
                "type": "Feature",
                "properties": {"class": palette.names[number], "order": order},
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[[round(p.real, 2), round(p.imag, 2)] for p in (*shape, shape[0])]],
                },
            }
            for order, (number, (_, shape)) in enumerate(zip(classes, self.polygons, strict=True))
        ]
        return json.dumps({"type": "FeatureCollection", "gsd": self.gsd, "features": features}) + "\n"


def draw_town(seed: int, *, size: int = 256, gsd: float = GSD) -> Town:
    """Draw a town: streets, houses, parks, waters and highways.

    Every seed has its own kind of scene, angles, materials, sun and air. The same seed and size give the same
    town in any process; another size gives another town at the same scale, not an enlarged one.

    Args:
        seed: Which town, 0 or more.
        size: The side of both pictures in pixels, 16 to 4096 (which takes 3 GB of memory).
        gsd: Metres per pixel, 0.3 to 4.2.

    Raises:
        SettingsError: The seed, the size or the gsd is out of range.
    """
    _check(seed, size, gsd)
    rng = np.random.default_rng(seed)
    return Town(*paint_town(rng, plan_town(rng, size * (gsd / METRES_PER_UNIT)), size), gsd)


@locks("folder")
def write_towns(
    folder: Path,
    *,
    count: int,
    size: int = 256,
    seed: int = 0,
    val_fraction: float = 0.2,
    layout: TownLayout = "side-by-side",
    gsd: float = GSD,
    polygons: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Draw a data set of towns into `folder/train` and `folder/val`.

    Picture `n` of a split depends on `seed`, `size`, `gsd` and `n` only: a larger set begins with the smaller
    one. Towns of an earlier call in the same folder are replaced.

    Args:
        folder: A new or empty folder, or one that this function has written.
        count: How many pairs, both splits together.
        size: The side of a picture in pixels, 16 to 4096.
        seed: Sets of different seeds share no town.
        val_fraction: The share of the pairs for validation, from 0 to below 1; at least one is for training.
        layout: `side-by-side` writes `train/00000.png`, source on the left and target on the right; `folders`
            writes `train/source/00000.png` and `train/target/00000.png`.
        gsd: Metres per pixel, 0.3 to 4.2.
        polygons: Whether the true outlines are written too, as `polygons/train/00000.geojson`.
        progress: Called with pairs drawn and pairs in all.

    Returns:
        The images written, in the order of the pairs, training first.

    Raises:
        SettingsError: A setting is out of range.
        DataError: The folder holds something else.
        OutputError: A file cannot be written.
    """
    _check(seed, size, gsd)
    if count < 1:
        raise SettingsError(f"count is {count}, but a data set needs at least one pair")
    if not 0 <= val_fraction < 1:
        raise SettingsError(f"val_fraction is {val_fraction}, but must be from 0 to below 1, such as 0.2")
    _clear(folder)
    about = {"drawn_by": "sat2map", "count": count, "size": size, "gsd": gsd, "seed": seed, "layout": layout}
    atomic_write_text(folder / MARKER, json.dumps(about, indent=2) + "\n")
    held_out = min(round(count * val_fraction), count - 1)
    written: list[Path] = []
    for split, (name, pairs) in enumerate((("train", count - held_out), ("val", held_out))):
        for number in range(pairs):
            town = draw_town(_pair_seed(seed, split, number), size=size, gsd=gsd)
            written += _write_pair(folder / name, f"{number:05d}.png", town, layout)
            if polygons:
                outlines = folder / "polygons" / name / f"{number:05d}.geojson"
                atomic_write_text(outlines, town.to_geojson())
            progress(split * (count - held_out) + number + 1, count)
    return written


def _check(seed: int, size: int, gsd: float) -> None:
    if not GSDS[0] <= gsd <= GSDS[1]:
        raise SettingsError(
            f"gsd is {gsd:g}, but a town is drawn at {GSDS[0]:g} to {GSDS[1]:g} m per pixel", setting="gsd"
        )
    low, high = SIZES
    if not low <= size <= high:
        raise SettingsError(f"size is {size}, but a town is drawn with a side of {low} to {high} pixels")
    if seed < 0:
        raise SettingsError(f"seed is {seed}, but must be 0 or more")


def _pair_seed(seed: int, split: int, number: int) -> int:
    """A seed of its own for each pair of each set."""
    return (seed << 33) + (split << 32) + number


def _write_pair(folder: Path, name: str, town: Town, layout: TownLayout) -> list[Path]:
    if layout == "side-by-side":
        images = {folder / name: np.hstack([town.source, town.target])}
    else:
        images = {folder / "source" / name: town.source, folder / "target" / name: town.target}
    for path, pixels in images.items():
        write_image(path, pixels)
    return list(images)


def _clear(folder: Path) -> None:
    """Remove the towns of an earlier call, and refuse a folder with anything that is not ours."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; choose a new folder for the towns")
    if (folder / MARKER).is_file():
        for path in folder.glob("*/**/*.*"):
            if OURS.fullmatch(path.relative_to(folder).as_posix()):
                path.unlink()
    elif any(folder.iterdir()):
        raise DataError(
            f"{folder} is not empty and was not drawn by sat2map; choose a new folder for the towns"
        )
