"""STAC items as input: which of an item's assets is the imagery (https://stacspec.org)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from sat2map.errors import ImageError, SettingsError, nearest
from sat2map.geo.addresses import is_remote, shown
from sat2map.geo.detect import STAC_SUFFIXES, is_stac_file
from sat2map.geo.tile_probe import get

_RASTERS: Final = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2")
_NO_IMAGERY: Final = {"thumbnail", "overview", "metadata", "data-mask", "cloud", "snow-ice", "saturation"}


def is_stac_item(text: str) -> bool:
    """Whether a file or address is that of a STAC item; an address is judged by its suffix."""
    if is_remote(text):
        return text.startswith(("http://", "https://")) and urlsplit(text).path.lower().endswith(
            STAC_SUFFIXES
        )
    return is_stac_file(Path(text))


def asset_of(text: str, asset: str | None) -> tuple[str, str]:
    """Return what GDAL opens of a STAC item, and the name of that asset.

    Args:
        text: The item's file or address.
        asset: Name of the asset; None: the only raster, or that of the visual, which has the item's colours.

    Raises:
        ImageError: It is no STAC item, or has no asset that is a raster.
        SettingsError: There is no such asset, or several and none is named.
    """
    name = shown(text)
    assets = _read(text, name).get("assets")
    if not isinstance(assets, dict) or not all(isinstance(one, dict) for one in assets.values()):
        raise ImageError(f"{name} is no STAC item: it has no assets")
    rasters = [key for key, value in assets.items() if _is_imagery(value)]
    if asset is not None:
        if asset not in assets:
            raise SettingsError(
                f"{name} has no asset '{asset}', {nearest(asset, list(assets))}", setting="asset"
            )
        chosen = asset
    elif not rasters:
        raise ImageError(f"{name} has no asset that is a raster (it has {', '.join(assets) or 'none'})")
    else:
        visual = [key for key in rasters if key == "visual" or "visual" in assets[key].get("roles", ())]
        if len(rasters) > 1 and len(visual) != 1:
            raise SettingsError(
                f"{name} has several rasters: {', '.join(rasters)}", hint="name one of them", setting="asset"
            )
        chosen = (visual or rasters)[0]
    href = assets[chosen].get("href")
    if not isinstance(href, str) or not href:
        raise ImageError(f"{name} does not say where its asset '{chosen}' is")
    if is_remote(href) or href.startswith("/vsi"):
        return href, chosen
    return (urljoin(text, href) if is_remote(text) else str(Path(text).parent / href)), chosen


def _is_imagery(asset: dict[str, Any]) -> bool:
    kind, roles = str(asset.get("type", "")), set(asset.get("roles") or ())
    by_name = str(asset.get("href", "")).lower().partition("?")[0].endswith((".tif", ".tiff", ".jp2"))
    return (kind.startswith(_RASTERS) or (not kind and by_name)) and not roles & _NO_IMAGERY


def _read(text: str, name: str) -> dict[str, Any]:
    if is_remote(text):
        status, _, content = get(text)
        if status != 200:
            raise ImageError(f"{name} answers with status {status}: there is no such STAC item")
    else:
        content = Path(text).read_bytes()
    try:
        item = json.loads(content)
    except ValueError:
        raise ImageError(f"{name} is no JSON, and so no STAC item") from None
    if not isinstance(item, dict) or "stac_version" not in item:
        raise ImageError(f"{name} is no STAC item")
    if item.get("type") != "Feature":
        raise ImageError(f"{name} is a STAC {item.get('type')}, not an item", hint="name one of its items")
    return item
