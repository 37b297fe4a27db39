"""Mapbox vector tiles of a tile's classes: polygons that join without gaps, written by GDAL."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray

from sat2map.geo.class_polygons import class_polygons
from sat2map.geo.layers import NODATA
from sat2map.geo.qgis_styles import TILE_LAYER
from sat2map.geo.web_mercator import SIDE, pixel_size, tile_corner
from sat2map.images.palette import Palette

MEDIA_TYPE: Final = "application/vnd.mapbox-vector-tile"
EXTENT: Final = 4096  # units of a side of a tile
BUFFER: Final = 4  # px by which polygons reach over the edge, so that clients draw no line between tiles
TOLERANCE: Final = 0.75  # px by which borders may differ from those of the pixels


def encode_vector_tile(classes: NDArray[np.uint8], palette: Palette, zoom: int, x: int, y: int) -> bytes:
    """Return a tile with one polygon layer, `map`, whose fields `class` and `number` are the palette's.

    It is made of class numbers, uint8 (256, 256), `NODATA` where there is nothing.
    """
    if (classes == NODATA).all():
        return b""
    # What lies beyond the edge is cut away by clients; the edge itself is drawn by none.
    wide = np.pad(classes, BUFFER, mode="edge")
    polygons, numbers = class_polygons(wide, None, tolerance=TOLERANCE, min_area=0)
    (left, top), size = tile_corner(zoom, x, y), pixel_size(zoom)
    placed = shapely.transform(polygons, lambda p: (p - BUFFER) * (size, -size) + (left, top))
    names = np.array(palette.names, object)[numbers]
    with tempfile.TemporaryDirectory(prefix="sat2map-tile-") as folder:
        _write(Path(folder) / "tiles", placed, {"class": names, "number": numbers.astype(np.int32)}, zoom)
        tile = Path(folder, "tiles", str(zoom), str(x), f"{y}.pbf")
        return tile.read_bytes() if tile.exists() else b""


def _write(folder: Path, polygons: NDArray[Any], fields: dict[str, NDArray[Any]], zoom: int) -> None:
    pyogrio.raw.write(
        folder, shapely.to_wkb(polygons), list(fields.values()), list(fields), layer=TILE_LAYER, driver="MVT",
        geometry_type="Polygon", crs="EPSG:3857", dataset_options={
            "FORMAT": "DIRECTORY", "COMPRESS": "NO", "MINZOOM": zoom, "MAXZOOM": zoom, "EXTENT": EXTENT,
            "BUFFER": BUFFER * EXTENT // SIDE, "MAX_SIZE": 10_000_000, "MAX_FEATURES": SIDE * SIDE,
        },
    )  # fmt: skip
