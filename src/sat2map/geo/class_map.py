"""A map raster as class numbers: a class raster's own, or those of a map's nearest colours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from sat2map.errors import ImageError
from sat2map.geo.gdal import FAILURES, reason
from sat2map.geo.georeference import read_grid
from sat2map.geo.grid import GeoGrid
from sat2map.geo.layers import NODATA
from sat2map.geo.write import tags_of
from sat2map.images.palette import Palette
from sat2map.images.palette.labels import Labeller

STRIP = 256  # rows that are read at once


@dataclass(frozen=True)
class ClassMap:
    """A map as class numbers, uint8 (h, w), `NODATA` where nothing is, and the tags of `translate`."""

    classes: NDArray[np.uint8]
    palette: Palette
    grid: GeoGrid
    tags: dict[str, str]

    @property
    def pixel(self) -> float:
        """Metres per pixel; 1 where they are unknown."""
        return self.grid.mean_metres() or 1.0

    @property
    def model_pixel(self) -> float:
        """Pixels of the map per pixel that the model saw, at least 1."""
        factors = re.fullmatch(r"source x ([\d.e+-]+), ([\d.e+-]+)", self.tags.get("RESOLUTION", ""))
        return max(1.0, float(np.sqrt(float(factors[1]) * float(factors[2])))) if factors else 1.0


def read_class_map(raster: Path, palette: str | None, notes: list[str]) -> ClassMap:
    """Read a map as class numbers.

    Args:
        raster: A class raster; or a map, whose classes are those of the class raster beside it if it names
            one, else of the nearest colour.
        palette: Name or file of the classes; None: what the raster's tags say, else `maps`.
        notes: Gets a sentence for each thing that a user should know.

    Raises:
        ImageError: The raster cannot be read, or shows no map.
        SettingsError: There is no such palette.
    """
    if not raster.exists():
        raise ImageError(f"{raster} does not exist")
    try:
        tags = tags_of(raster)
        beside = raster.with_name(tags["CLASSES"]) if tags.get("CLASSES") else None
        if tags.get("LAYER") == "map" and palette is None and beside is not None:
            if beside.exists():
                notes.append(f"classes are those of {beside}")
                raster, tags = beside, tags_of(beside)
            else:
                notes.append(
                    f"{beside}, the class raster, is not there: classes are those of the nearest colour"
                )
        known = palette_of(tags, palette) or Palette.load("maps")
        with rasterio.open(raster) as dataset:
            grid = read_grid(dataset, str(raster), [])
            if tags.get("LAYER") == "classes":
                return ClassMap(dataset.read(1), known, grid, tags)
            if dataset.count < 3 or dataset.dtypes[0] != "uint8":
                raise ImageError(f"{raster} is no map: it needs three bands of 8 bits, or be a class raster")
            return ClassMap(classify(dataset, known), known, grid, tags)
    except FAILURES as error:
        raise ImageError(f"{raster} cannot be read ({reason(error)})") from None


def palette_of(tags: dict[str, str], name: str | None) -> Palette | None:
    """Return the palette of that name, or without a name that of a raster's tags; None without either.

    Raises:
        SettingsError: There is no such palette.
    """
    if name is not None:
        return Palette.load(name)
    return Palette.from_json(tags["PALETTE"]) if "PALETTE" in tags else None


def classify(
    dataset: rasterio.DatasetReader, palette: Palette, within: Window | None = None
) -> NDArray[np.uint8]:
    """Return the class of each pixel's nearest colour, uint8 (h, w), `NODATA` where nothing is.

    The dataset has three bands of 8 bits; a part of it is read, or all.
    """
    left, top, width, height = (
        (within.col_off, within.row_off, within.width, within.height)
        if within is not None
        else (0, 0, dataset.width, dataset.height)
    )
    classes = np.empty((height, width), np.uint8)
    label = Labeller(palette)
    for row in range(0, height, STRIP):
        window = Window(left, top + row, width, min(STRIP, height - row))
        rgb = np.moveaxis(dataset.read((1, 2, 3), window=window), 0, -1)
        there = dataset.dataset_mask(window=window) > 0
        classes[row : row + STRIP] = np.where(there, palette.class_of_colour[label(rgb)], NODATA)
    return classes
