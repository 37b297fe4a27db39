"""What a user names as a raster: a file, an address, a STAC item, or a service of tiles or maps."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from sat2map.errors import SettingsError
from sat2map.geo.addresses import shown
from sat2map.geo.map_services import tile_source, wmts_source
from sat2map.geo.sources import Place, Source, cut_source
from sat2map.geo.stac_input import asset_of, is_stac_item


def find_source(text: str | Path, place: Place, *, cut: bool = False) -> Source:
    """Return the raster that a user names.

    Args:
        text: A path, an address, GDAL's name of a raster, a STAC item, `https://…/{z}/{x}/{y}.png`, or the
            address of a WMS or WMTS.
        place: What of it is wanted.
        cut: Return only the box of any raster; otherwise of services only.

    Raises:
        SettingsError: The box, the zoom or the asset does not fit the source.
        ImageError: The source does not answer as such a source does.
    """
    text = str(text)
    service = _service_of(text)
    if service in ("tiles", "wms"):
        return tile_source(text, place)
    if service == "wmts":
        return wmts_source(text, place)
    if place.zoom is not None:
        raise SettingsError(
            f"{shown(text)} has no zoom levels",
            hint="leave the zoom out, or set a resolution",
            setting="zoom",
        )
    notes: tuple[str, ...] = ()
    if is_stac_item(text):
        item = shown(text)
        text, key = asset_of(text, place.asset)
        notes = (f"{item} is a STAC item: its asset '{key}' is read",)
    elif place.asset is not None:
        raise SettingsError(f"{shown(text)} is no STAC item, and has no assets", setting="asset")
    source = replace(Source.of(text), notes=notes)
    return source if place.bbox is None or not cut else cut_source(source, place.bbox, place.bbox_crs)


def _service_of(text: str) -> str | None:
    """Return `tiles`, `wms` or `wmts` for the address of such a service, as GDAL or its clients write it."""
    if "://" in text and "{z}" in text and "{x}" in text and re.search(r"\{-?y\}", text):
        return "tiles"
    prefix, _, rest = text.partition(":")
    if prefix.lower() in ("wms", "wmts") and "://" in rest:
        return prefix.lower()
    if not text.startswith(("http://", "https://")):
        return None
    address = urlsplit(text)
    if address.path.lower().endswith("wmtscapabilities.xml"):
        return "wmts"
    service = {key.lower(): value.lower() for key, value in parse_qsl(address.query)}.get("service")
    return service if service in ("wms", "wmts") else None
