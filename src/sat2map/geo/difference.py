"""A layer that shows where a map differs from its reference: a GeoTIFF with names and colours, or vectors."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from rasterio.io import MemoryFile

from sat2map.errors import OutputError
from sat2map.files import atomic_path, atomic_write_text, refuse_existing
from sat2map.geo.gdal import gdal_env
from sat2map.geo.grid import GeoGrid
from sat2map.geo.layers import NODATA
from sat2map.geo.qgis_styles import category_names_xml, paletted_qml
from sat2map.geo.vector_output import DRIVERS, VectorLayer, check_suffix, write_vectors
from sat2map.geo.vrt import copy_to_cog

AGREE = 0  # value of pixels on which both agree
MAX_PAIRS = 15  # classes; of more, a difference has the number of the true class alone
RGB = tuple[int, int, int]
_AGREES, _RIGHT, _MISSED, _INVENTED = (238, 238, 238), (150, 150, 150), (214, 39, 40), (31, 119, 180)
_SATURATION = 0.85


class Difference:
    """Where a map differs from its reference.

    Attributes:
        values: uint8 (h, w): `AGREE`, a number for each pair of true and drawn class, or `NODATA`.
        names: Names of the values, from 0.
        colours: Colours of the values, from 0.
        agreeing: Values of pixels on which both agree.
    """

    def __init__(
        self,
        fake: NDArray[np.uint8],
        target: NDArray[np.uint8],
        names: Sequence[str],
        one_class: str | None = None,
    ) -> None:
        """Compare.

        Args:
            fake: The map's class numbers, uint8 (h, w), `NODATA` where it has none.
            target: The reference's; where it shows one class, 1 is this class and 0 the rest.
            names: Names of the map's classes.
            one_class: The class, where the reference shows only one.
        """
        known = (fake != NODATA) & (target != NODATA)
        self.names, self.colours = ["agrees"], [_AGREES]
        if one_class is not None:
            drawn = fake == list(names).index(one_class)
            self.values = (2 * (target == 1) + drawn).astype(np.uint8)
            self.names = [
                f"no {one_class} in both",
                f"{one_class} in the map only",
                f"{one_class} in the reference only",
                f"{one_class} in both",
            ]
            self.colours = [_AGREES, _INVENTED, _MISSED, _RIGHT]
        else:
            count, pairs = len(names), len(names) <= MAX_PAIRS
            wrong = target.astype(np.int32) * count + fake if pairs else target.astype(np.int32)
            self.values = np.where(fake == target, AGREE, 1 + wrong).astype(np.uint8)
            for true, name in enumerate(names):
                for other in range(count) if pairs else (0,):
                    self.names.append(
                        f"{name}, drawn as {names[other]}" if pairs else f"{name}, not drawn so"
                    )
                    self.colours.append(_colour(true, other, count))
        self.values[~known] = NODATA
        self.agreeing = (AGREE, 3) if one_class is not None else (AGREE,)

    def picture(self) -> NDArray[np.uint8]:
        """Return it as an image, uint8 (h, w, 3), white where nothing is compared."""
        table = np.full((256, 3), 255, np.uint8)
        table[: len(self.colours)] = self.colours
        picture: NDArray[np.uint8] = table[self.values]
        return picture

    def legend(self) -> list[tuple[int, str, RGB]]:
        """Return the values that occur, with their names and colours."""
        used = [int(value) for value in np.unique(self.values) if value != NODATA]
        return [(value, self.names[value], self.colours[value]) for value in used]


def check_difference(output: Path, grid: GeoGrid, *, overwrite: bool) -> None:
    """Refuse a difference layer that could not be written, before any work.

    Raises:
        OutputError: It exists, or its suffix is unknown.
        SettingsError: The format needs a CRS, and the map has none.
    """
    refuse_existing(output, overwrite=overwrite)
    if output.suffix.lower() not in (".tif", ".tiff"):
        if output.suffix.lower() not in DRIVERS:
            raise OutputError(
                f"{output} is neither a .tif nor of a vector format",
                hint="name a .tif or a .gpkg",
                setting="difference",
            )
        check_suffix(output, grid)


def write_difference(output: Path, difference: Difference, grid: GeoGrid) -> None:
    """Write a difference: .tif with a colour table, class names and a QGIS style beside it; else polygons.

    Raises:
        OutputError: It cannot be written.
    """
    if output.suffix.lower() in (".tif", ".tiff"):
        _write_raster(output, difference, grid)
    else:
        write_vectors(output, _polygons(difference, grid), grid)


def _write_raster(output: Path, difference: Difference, grid: GeoGrid) -> None:
    colours = {value: (*colour, 255) for value, colour in enumerate(difference.colours)}
    with gdal_env(), MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=1, height=grid.height, width=grid.width, dtype="uint8", nodata=NODATA,
            crs=grid.crs, transform=grid.transform, compress="deflate", tiled=True,
        ) as file:  # fmt: skip
            file.write(difference.values, 1)
            file.write_colormap(1, colours)
        with atomic_path(output) as temporary:
            copy_to_cog(Path(memory.name), temporary, output, average=False)
    atomic_write_text(output.with_name(f"{output.name}.aux.xml"), category_names_xml(difference.names))
    atomic_write_text(output.with_suffix(".qml"), paletted_qml(difference.legend()))


def _polygons(difference: Difference, grid: GeoGrid) -> list[VectorLayer]:
    layers = []
    pixel = grid.metres() or (1.0, 1.0)
    is_wrong = ~np.isin(difference.values, (*difference.agreeing, NODATA))
    found: dict[int, list[shapely.Geometry]] = {}
    for shape, value in shapes(difference.values, mask=is_wrong, connectivity=4):
        rings = shape["coordinates"]
        found.setdefault(int(value), []).append(shapely.Polygon(rings[0], rings[1:]))
    for value, polygons in sorted(found.items()):
        drawn = np.array(polygons, object)
        columns = {
            "class": np.full(len(drawn), difference.names[value], object),
            "area_m2": shapely.area(drawn) * pixel[0] * pixel[1],
        }
        placed = shapely.transform(drawn, lambda *xy: grid.transform @ xy, interleaved=False)
        name = difference.names[value]
        layers.append(VectorLayer(name, name, difference.colours[value], placed, columns, lines=False))
    return layers


def _colour(true: int, drawn: int, count: int) -> RGB:
    """Return a strong colour: the hue says what is true, the lightness what is drawn instead."""
    hue = (true / count + 0.02) % 1
    lightness = 0.35 + 0.35 * drawn / max(1, count - 1)
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, _SATURATION)
    return round(255 * red), round(255 * green), round(255 * blue)
