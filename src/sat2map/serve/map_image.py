"""One image of a layer for any area, size and CRS (OGC API – Maps), warped from its tiles."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import anyio.to_thread
import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from pyproj.enums import TransformDirection
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject

from sat2map.geo.web_mercator import EDGE, SIDE, pixel_size, tile_corner, tile_range, zoom_of
from sat2map.serve.http_errors import BadRequestError
from sat2map.serve.livemap import LiveMaps
from sat2map.serve.map_layers import MapLayer, offered_zoom
from sat2map.serve.raster_folder import MERCATOR

LONGEST: Final = 4096  # px a side of an image
DEFAULT_SIDE: Final = 1024  # px of the longer side where no size is given
MOST_TILES: Final = 400  # that an image is warped from
CRS84: Final = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
MERCATOR_URI: Final = "http://www.opengis.net/def/crs/EPSG/0/3857"
_MERCATOR: Final = pyproj.CRS(3857)
_EPSG = re.compile(r"(?:http://www\.opengis\.net/def/crs/EPSG/[\d.]+/|\[?EPSG:)(\d{4,6})\]?")

Box = tuple[float, float, float, float]


class View(NamedTuple):
    """What an image shows: a box of a CRS (least x and y, greatest x and y), and its size (px)."""

    crs: pyproj.CRS
    uri: str
    box: Box
    width: int
    height: int

    @property
    def price(self) -> int:
        """Memory that drawing it takes at most (bytes): the tiles, the image, and the image warped."""
        return 4 * (MOST_TILES * SIDE**2 + 3 * self.width * self.height)

    @property
    def content_bbox(self) -> str:
        """The box in the order of the axes of the CRS, as the header Content-Bbox has it."""
        return ",".join(f"{value:.9g}" for value in _flip(self.crs, self.box))


def parse_view(
    layer: MapLayer, bbox: str | None, bbox_crs: str, crs: str, width: int | None, height: int | None
) -> View:
    """Return what a request for a map asks for.

    Args:
        layer: The layer; without a box all of it is shown.
        bbox: Four numbers with commas, in the order of the axes of their CRS.
        bbox_crs: Its CRS, as a URI or EPSG:CODE.
        crs: CRS of the image.
        width: Columns (px); without it, in proportion to the height.
        height: Rows (px); the same.

    Raises:
        BadRequestError: A CRS is unknown, the box is none, or the image is too large.
    """
    (asked, uri), (given, _) = _parse_crs(crs), _parse_crs(bbox_crs)
    box = layer.raster.coverage.bounds if bbox is None else _flip(given, _numbers(bbox))
    if bbox is None:
        given = pyproj.CRS("OGC:CRS84")
    if box[0] >= box[2] or box[1] >= box[3]:
        raise BadRequestError("the bbox is empty: give the least corner first, in the order of its CRS' axes")
    box = _moved(given, asked, box)
    aspect = (box[2] - box[0]) / (box[3] - box[1])
    if asked.is_geographic:  # a degree of longitude is shorter than one of latitude
        aspect *= math.cos(math.radians((box[1] + box[3]) / 2))
    if width is None and height is None:
        width = round(DEFAULT_SIDE * min(1, aspect))
    if width is None:
        assert height is not None
        width = round(height * aspect)
    height = round(width / aspect) if height is None else height
    if not 1 <= min(width, height) <= max(width, height) <= LONGEST:
        raise BadRequestError(f"the image would have {width}×{height} px: 1 to {LONGEST} px a side are drawn")
    return View(asked, uri, box, width, height)


async def draw_view(maps: LiveMaps, layer: MapLayer, view: View) -> NDArray[np.uint8]:
    """Return the image, uint8 (height, width, 4), transparent where the raster has nothing.

    Raises:
        BadRequestError: The area takes too many tiles at the zooms that the layer has.
        BusyError: The network has too much to do.
        ImageError: The raster cannot be read.
    """
    asked, world = _moved(view.crs, _MERCATOR, view.box), layer.raster.coverage.world
    left, bottom = max(asked[0], world[0]), max(asked[1], world[1])
    right, top = min(asked[2], world[2]), min(asked[3], world[3])
    image = np.zeros((4, view.height, view.width), np.uint8)
    if left >= right or bottom >= top:
        return np.moveaxis(image, 0, -1)
    resolution = min((asked[2] - asked[0]) / view.width, (asked[3] - asked[1]) / view.height)
    zoom = min(max(math.ceil(zoom_of(resolution) - 0.01), layer.min_zoom), offered_zoom(layer))
    columns, rows = _tiles(left, right, zoom), _tiles(-top, -bottom, zoom)
    while len(columns) * len(rows) > MOST_TILES:
        if zoom == layer.min_zoom:
            raise BadRequestError("the area is too large for this layer: ask for a smaller one")
        zoom -= 1
        columns, rows = _tiles(left, right, zoom), _tiles(-top, -bottom, zoom)
    mosaic = np.zeros((4, len(rows) * SIDE, len(columns) * SIDE), np.uint8)

    async def fetch(row: int, column: int) -> None:
        pixels = await maps.pixels(layer, zoom, columns[column], rows[row])
        here = np.s_[:, row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        mosaic[here] = np.moveaxis(pixels, -1, 0)

    await asyncio.gather(*(fetch(r, c) for r in range(len(rows)) for c in range(len(columns))))
    corner, size = tile_corner(zoom, columns[0], rows[0]), pixel_size(zoom)
    across = (view.box[2] - view.box[0]) / view.width
    down = (view.box[3] - view.box[1]) / view.height
    # Colours of classes are kept as they are; others are interpolated.
    plain = layer.kind in ("map", "classes")

    def warp() -> NDArray[np.uint8]:
        reproject(
            mosaic,
            image,
            src_transform=Affine(size, 0, corner[0], 0, -size, corner[1]),
            src_crs=MERCATOR,
            dst_transform=Affine(across, 0, view.box[0], 0, -down, view.box[3]),
            dst_crs=CRS.from_wkt(view.crs.to_wkt()),
            resampling=Resampling.nearest if plain else Resampling.bilinear,
        )
        return _unmultiplied(np.ascontiguousarray(np.moveaxis(image, 0, -1)))

    return await anyio.to_thread.run_sync(warp)


def _unmultiplied(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give back the colours that interpolation with transparent black has darkened."""
    alpha = pixels[..., 3:].astype(np.float32)
    rim = (alpha > 0) & (alpha < 255)
    colours = np.minimum(pixels[..., :3] * (255 / np.maximum(alpha, 1)), 255)
    pixels[..., :3] = np.where(rim, np.rint(colours), pixels[..., :3])
    return pixels


def _tiles(start: float, stop: float, zoom: int) -> range:
    """Return the tiles between two distances from the middle of the world, along one of its axes."""
    return tile_range((start + EDGE) / (2 * EDGE), (stop + EDGE) / (2 * EDGE), zoom)


def _parse_crs(text: str) -> tuple[pyproj.CRS, str]:
    if text in (CRS84, "CRS84", "[OGC:CRS84]", "OGC:CRS84"):
        return pyproj.CRS("OGC:CRS84"), CRS84
    match = _EPSG.fullmatch(text)
    try:
        if match is not None:
            code = int(match[1])
            return pyproj.CRS(code), f"http://www.opengis.net/def/crs/EPSG/0/{code}"
    except pyproj.exceptions.CRSError:
        pass
    raise BadRequestError(f"the CRS {text!r} is not known here: name one as EPSG:3857 or by its URI")


def _numbers(text: str) -> Box:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise BadRequestError("a bbox is four numbers with commas between them")
    return values[0], values[1], values[2], values[3]


def _flip(crs: pyproj.CRS, box: Sequence[float]) -> Box:
    """Swap the axes where the CRS has its y axis first, such as EPSG:4326."""
    if crs.axis_info and crs.axis_info[0].direction in ("north", "south"):
        return box[1], box[0], box[3], box[2]
    return box[0], box[1], box[2], box[3]


def _moved(source: pyproj.CRS, target: pyproj.CRS, box: Box) -> Box:
    moved = pyproj.Transformer.from_crs(source, target, always_xy=True).transform_bounds(
        *box, direction=TransformDirection.FORWARD
    )
    if not all(map(math.isfinite, moved)):
        raise BadRequestError("the bbox lies where its CRS, or that of the image, is not defined")
    return moved[0], moved[1], moved[2], moved[3]
