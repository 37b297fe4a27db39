"""`assess_map()`: scores of a map raster on the ground, against a reference raster or vectors."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import DataError, SettingsError
from sat2map.evaluation.ground import GroundProtocol, GroundScores, score_on_ground
from sat2map.geo.class_map import read_class_map
from sat2map.geo.difference import Difference, check_difference, write_difference
from sat2map.geo.gdal import gdal_env
from sat2map.geo.layers import NODATA
from sat2map.geo.reference import ReferenceOptions, read_reference
from sat2map.geo.reference_raster import check_is_map
from sat2map.images.palette import Palette

BUFFER = 3.0  # m
DEFAULTS = ReferenceOptions()


@dataclass(frozen=True)
class Assessment:
    """What a comparison found.

    Attributes:
        scores: The scores, which a JSON file holds.
        pictures: Images of the map, the reference and the difference, uint8 (h, w, 3), by their titles.
        legend: Names and colours of the difference that occur.
    """

    scores: GroundScores
    pictures: dict[str, NDArray[np.uint8]]
    legend: list[tuple[int, str, tuple[int, int, int]]]


def assess_map(
    raster: Path,
    reference: Path,
    options: ReferenceOptions = DEFAULTS,
    *,
    palette: str | None = None,
    buffer: float = BUFFER,
    difference: Path | None = None,
    overwrite: bool = False,
) -> Assessment:
    """Compare a map with a reference: IoU of classes, buildings one by one, roads within a buffer.

    The reference is brought onto the map's grid. Only pixels that both know are compared.

    Args:
        raster: A map that `translate_raster` wrote, its class raster, or any RGB map in a palette's colours.
        reference: A class raster, a map in colours, a mask of one class, or vectors.
        options: How the reference is read.
        palette: Name or file of the map's classes; None: what its tags say, else `maps`.
        buffer: Distance within which roads count as found (m); in pixels where the map has no CRS.
        difference: Where to write a layer of the differences: .tif, .gpkg or another vector format.
        overwrite: Whether that may be replaced.

    Raises:
        DataError: The reference cannot be read, or lies in another place.
        ImageError: The map cannot be read, or shows no map.
        SettingsError: There is no such class, column, style or palette, or the buffer is negative.
        OutputError: The difference layer exists, or cannot be written.
    """
    if not 0 <= buffer < float("inf"):
        raise SettingsError(f"the buffer is {buffer:g} m, but must not be negative", setting="buffer")
    notes: list[str] = []
    with gdal_env():
        found = read_class_map(raster, palette, notes)
        if "LAYER" not in found.tags:
            check_is_map(raster, found.palette, "palette")
        if difference is not None:
            check_difference(difference, found.grid, overwrite=overwrite)
        truth = read_reference(reference, found, options, notes)
        if not ((found.classes != NODATA) & (truth.classes != NODATA)).any():
            raise DataError(f"{raster} and {reference} have no pixel in common that both know")
        across, down = found.grid.metres() or (1.0, 1.0)
        if found.grid.metres() is None:
            notes.append(f"{raster} has no CRS: distances and areas are in pixels")
        scores = score_on_ground(
            found.classes,
            truth.classes,
            found.palette,
            GroundProtocol(
                sat2map=version("sat2map"),
                map=str(raster),
                model=found.tags.get("MODEL", ""),
                model_sha256=found.tags.get("MODEL_SHA256", ""),
                reference=str(reference),
                one_class=truth.one_class,
                pixel=(down, across),
                buffer=buffer,
                notes=tuple(notes),
            ),
            objects=truth.objects,
        )
        shown = Difference(found.classes, truth.classes, found.palette.names, truth.one_class)
        if difference is not None:
            write_difference(difference, shown, found.grid)
    pictures = {
        "Map": _coloured(found.classes, found.palette, None),
        "Reference": _coloured(truth.classes, found.palette, truth.one_class),
        "Difference": shown.picture(),
    }
    return Assessment(scores, pictures, shown.legend())


def _coloured(classes: NDArray[np.uint8], palette: Palette, one: str | None) -> NDArray[np.uint8]:
    """Draw class numbers in their colours, uint8 (h, w, 3), white where nothing is known."""
    table = np.full((256, 3), 255, np.uint8)
    colours = [map_class.colours[0] for map_class in palette.classes]
    table[: len(colours)] = colours if one is None else [(238, 238, 238), (110, 110, 110), *colours[2:]]
    return table[classes]
