"""Services of tiles and maps as rasters, through GDAL's drivers WMS and WMTS (https://gdal.org/drivers/raster).

Each becomes a raster of the tiles around a box. Tiles are kept in the cache folder for a week, so a run that
is repeated does not ask for them again.
"""

from __future__ import annotations

import math
import re
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.sax.saxutils import escape

from sat2map.errors import SettingsError
from sat2map.files import cache_folder
from sat2map.geo.addresses import shown
from sat2map.geo.crs import LONLAT, moved_box, parse_crs
from sat2map.geo.gdal import TIMEOUT
from sat2map.geo.sources import Place, Source, cut_source
from sat2map.geo.tile_probe import Address, check_tiles, describe_answer
from sat2map.geo.web_mercator import HIGHEST_ZOOM, MAX_LATITUDE, SIDE, CoveragePart, pixel_size, tile_corner

MAX_TILES: Final = 50_000  # requests of one job; a town of 20 × 20 km at zoom 18 takes 42,000
ALPHA: Final = 4  # band of what GDAL's drivers make of tiles; 0 where one is missing
CACHE_SIZE: Final = 2_000_000_000  # bytes


def _address(text: str) -> str:
    """Return an address without the name of a driver of GDAL's before it."""
    return re.sub(r"^wmt?s:", "", text, flags=re.IGNORECASE)


def _licence(address: str) -> str:
    host = urlsplit(address).hostname
    return (
        f"imagery has a licence: read that of {host} before you make, train on or share maps of it, and do "
        "not fetch what it does not allow"
    )


def tile_source(text: str, place: Place) -> Source:
    """Return the tiles of a service around a box, at one zoom.

    Args:
        text: `https://…/{z}/{x}/{y}.png`; or the address of a WMS, whose map is asked for in such tiles.
        place: The box and the zoom.

    Raises:
        SettingsError: There is no box, zoom or layer, there are no such tiles, or too many.
        ImageError: The service does not answer with images.
    """
    text = _address(text)
    service, address = _tms_service(text) if "{z}" in text else _wms_service(text)
    name = shown(text)
    box = _lonlat_box(place, name)
    latitude = (box.south + box.north) / 2
    zoom = _check_zoom(place.zoom, latitude, name)
    columns, rows = box.columns(zoom), box.rows(zoom)
    _check_count(len(columns) * len(rows), name)
    middle = (zoom, columns[len(columns) // 2], rows[len(rows) // 2])
    corners = [(zoom, x, y) for x in (columns[0], columns[-1]) for y in (rows[0], rows[-1])]
    block = check_tiles(address, [middle, *corners], name)
    west, north = tile_corner(zoom, columns[0], rows[0])
    east, south = tile_corner(zoom, columns[-1] + 1, rows[-1] + 1)
    # From the south, GDAL counts the rows of the window alone.
    origin, first = ("bottom", rows[-1] + 1 - 2**zoom) if "{-y}" in text else ("top", rows[0])
    window = {
        "UpperLeftX": repr(west), "UpperLeftY": repr(north),
        "LowerRightX": repr(east), "LowerRightY": repr(south),
        "SizeX": len(columns) * block, "SizeY": len(rows) * block,
        "TileX": columns[0], "TileY": first, "TileLevel": zoom, "YOrigin": origin,
    }  # fmt: skip
    description = {
        "DataWindow": window, "Projection": "EPSG:3857", "BlockSizeX": block, "BlockSizeY": block,
        "BandsCount": ALPHA, "OverviewCount": 0, "ZeroBlockHttpCodes": "204,404", "Timeout": TIMEOUT,
        "UserAgent": f"sat2map/{version('sat2map')}",
        "Cache": {"Path": str(cache_folder() / "tiles"), "MaxSize": CACHE_SIZE},
    }  # fmt: skip
    metres = _metres(zoom, latitude) * SIDE / block
    count = f"{len(columns) * len(rows):,} tiles of {block} px are asked for at zoom {zoom}"
    return Source(
        f"<GDAL_WMS>{service}{_xml(description)}</GDAL_WMS>",
        name,
        remote=True,
        bbox_crs=LONLAT,
        alpha=ALPHA,
        notes=(f"{name}: {count} ({metres:.2f} m per pixel), and kept in the cache", _licence(text)),
        trouble=lambda: describe_answer(address(*middle)),
    )


def _tms_service(text: str) -> tuple[str, Address]:
    """Return GDAL's description of a service of tiles, and a function that gives the address of a tile."""
    text = text.replace("{s}", "a").replace("{r}", "")

    def address(zoom: int, x: int, y: int) -> str:
        values = {"z": zoom, "x": x, "y": y, "-y": 2**zoom - 1 - y}
        return re.sub(r"\{([zxy]|-y)\}", lambda name: str(values[name[1]]), text)

    url = re.sub(r"\{-?([xyz])\}", r"${\1}", text)
    return f'<Service name="TMS"><ServerUrl>{escape(url)}</ServerUrl></Service>', address


def _wms_service(text: str) -> tuple[str, Address]:
    """Return GDAL's description of a WMS, and a function that gives the address of a tile's map."""
    url = urlsplit(text)
    given = {key.lower(): value for key, value in parse_qsl(url.query, keep_blank_values=True)}
    if not given.get("layers"):
        raise SettingsError(
            f"{shown(text)} names no layers",
            hint="write the address as https://host/wms?service=WMS&layers=NAME",
            setting="source",
        )
    ours = {"version": "1.3.0", "styles": "", "format": "image/png"}
    ours = {**ours, **{key: value for key, value in given.items() if key in (*ours, "layers")}}
    known = {*ours, "service", "request", "crs", "srs", "bbox", "width", "height", "transparent"}
    others = {key: value for key, value in given.items() if key not in known}
    base = url._replace(query=urlencode(others), fragment="").geturl()
    base += "&" if others else "?"
    crs = "crs" if ours["version"] >= "1.3" else "srs"
    service = {
        "Version": ours["version"], "ServerUrl": base, crs.upper(): "EPSG:3857",
        "ImageFormat": ours["format"], "Layers": ours["layers"], "Styles": ours["styles"],
        "Transparent": "TRUE",
    }  # fmt: skip

    def address(zoom: int, x: int, y: int) -> str:
        (left, top), side = tile_corner(zoom, x, y), SIDE * pixel_size(zoom)
        box = f"{left!r},{top - side!r},{left + side!r},{top!r}"
        fixed = {"service": "WMS", "request": "GetMap", "width": SIDE, "height": SIDE, "transparent": "TRUE"}
        return base + urlencode({**fixed, **ours, crs: "EPSG:3857", "bbox": box})

    return f'<Service name="WMS">{_xml(service)}</Service>', address


def wmts_source(text: str, place: Place) -> Source:
    """Return the part of a WMTS layer in a box.

    Args:
        text: Address of the capabilities, or GDAL's `WMTS:address,layer=NAME`.
        place: The box; the zoom is that of the layer's own levels, by default the finest.

    Raises:
        SettingsError: There is no box, it lies outside, or takes too many tiles.
        ImageError: The service does not answer, or has several layers.
    """
    address = _address(text)
    capabilities = address.partition(",")[0]
    name = shown(capabilities)
    if place.bbox is None:
        raise _no_box(name)
    level = "" if place.zoom is None else f",zoom_level={place.zoom}"
    source = Source(
        f"WMTS:{address}{level}",
        name,
        remote=True,
        bbox_crs=LONLAT,
        alpha=ALPHA,
        notes=(_licence(address),),
        trouble=lambda: describe_answer(capabilities),
    )
    return cut_source(source, place.bbox, place.bbox_crs or LONLAT, lambda count: _check_count(count, name))


def _lonlat_box(place: Place, name: str) -> CoveragePart:
    if place.bbox is None:
        raise _no_box(name)
    left, bottom, right, top = place.bbox
    asked = ",".join(f"{edge:.10g}" for edge in place.bbox)
    crs = parse_crs(place.bbox_crs or LONLAT, "bbox_crs")
    if crs.is_geographic and 180 >= left > right >= -180 and bottom < top:
        halves = [",".join(f"{edge:.10g}" for edge in half)
                  for half in ((left, bottom, 180, top), (-180, bottom, right, top))]  # fmt: skip
        raise SettingsError(
            f"the box {asked} runs across 180 degrees, where the tiles of {name} end",
            hint=f"translate {halves[0]} and {halves[1]}: two maps that meet there",
            setting="bbox",
        )
    if not all(map(math.isfinite, place.bbox)) or bottom >= top or left >= right:
        raise SettingsError(f"the box {asked} is empty", hint="give left, bottom, right, top", setting="bbox")
    west, south, east, north = moved_box(place.bbox, crs, LONLAT) or (math.inf,) * 4
    if not (-180 <= west < east <= 180 and -MAX_LATITUDE <= south < north <= MAX_LATITUDE):
        raise SettingsError(
            f"the box {asked} lies outside {name}, which reaches from -180 to 180 degrees of longitude and "
            "-85.05 to 85.05 of latitude",
            hint="give west, south, east and north in degrees, or name the CRS of the box",
            setting="bbox",
        )
    return CoveragePart(west, south, east, north, 0)


def _no_box(name: str) -> SettingsError:
    return SettingsError(
        f"{name} covers the world, or much of it",
        hint="give the box that you want: west,south,east,north in degrees",
        setting="bbox",
    )


def _metres(zoom: int, latitude: float) -> float:
    """Return the metres on the ground of a pixel of 256 px tiles."""
    return pixel_size(zoom) * math.cos(math.radians(latitude))


def _check_zoom(zoom: int | None, latitude: float, name: str) -> int:
    if zoom is None:
        sizes = ", ".join(f"{z} has {_metres(z, latitude):.2g} m per pixel" for z in (16, 17, 18, 19))
        raise SettingsError(f"{name} has many zooms", hint=f"choose one: there, {sizes}", setting="zoom")
    if not 0 <= zoom <= HIGHEST_ZOOM:
        raise SettingsError(f"there is no zoom {zoom}", hint=f"give 0 to {HIGHEST_ZOOM}", setting="zoom")
    return zoom


def _check_count(count: int, name: str) -> None:
    if count > MAX_TILES:
        raise SettingsError(
            f"{count:,} tiles would be asked of {name}, more than the {MAX_TILES:,} that one job may",
            hint="take a smaller box or a lower zoom, or get the imagery as files from its provider",
            setting="bbox",
        )


def _xml(values: dict[str, Any]) -> str:
    return "".join(
        f"<{key}>{_xml(value) if isinstance(value, dict) else escape(str(value))}</{key}>"
        for key, value in values.items()
    )
