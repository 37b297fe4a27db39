"""A STAC item beside a map: where it lies, what its files hold, and how it was made (https://stacspec.org)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from rasterio.warp import transform_geom

from sat2map.errors import SettingsError
from sat2map.files import atomic_write_text
from sat2map.geo.addresses import is_remote, shown
from sat2map.geo.crs import LONLAT
from sat2map.geo.grid import GeoGrid
from sat2map.geo.layers import Layer
from sat2map.images.palette.palette import describe_classes

EXTENSIONS: Final = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v2.0.0", "raster/v1.1.0", "classification/v2.0.0")
)
COG: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
_ROLES: Final = {"map": ["data", "visual"]}
_TITLES: Final = {
    "map": "Map", "classes": "Class numbers", "confidence": "Confidence in percent",
    "probabilities": "Probability of each class in percent",
}  # fmt: skip
_EDGE: Final = 8  # points along each side of the footprint


def stac_path(output: Path) -> Path:
    """Return where the item of a map is written."""
    return output.with_suffix(".json")


def check_place(grid: GeoGrid, name: str) -> None:
    """Check that an item can say where a raster lies.

    Raises:
        SettingsError: It has no CRS, no exact grid, or lies on no map of the Earth.
    """
    if grid.crs is None or grid.control is not None or not grid.on_earth:
        raise SettingsError(
            f"{name} has no place on Earth that a STAC item could name",
            hint="give it a CRS, or leave the item out",
            setting="stac",
        )


def write_item(output: Path, layers: Sequence[Layer], grid: GeoGrid, source: str) -> None:
    """Write a STAC item of a map and the rasters beside it.

    The date is that of the translation: rasters seldom say when their imagery was taken.

    Raises:
        OutputError: The file cannot be written.
    """
    assert grid.proj_crs is not None
    west, south, east, north = grid.lonlat_box(output.name)
    code = grid.proj_crs.to_authority()
    gsd = round(grid.mean_metres() or 0.0, 4) or None
    wkt = {} if code else {"proj:wkt2": grid.proj_crs.to_wkt()}
    tags = layers[0].tags
    made_at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    made_of = {"rel": "derived_from", "href": shown(source), "type": "image/tiff"}
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": output.stem,
        "geometry": _footprint(grid),
        "bbox": [round(edge, 7) for edge in (west, south, east, north)],
        "properties": {
            "datetime": made_at,
            "created": made_at,
            **({"gsd": gsd} if gsd else {}),
            "proj:code": ":".join(code) if code else None,
            **wkt,
            "proj:shape": [grid.height, grid.width],
            "proj:transform": [float(value) for value in grid.transform[:6]],
            "sat2map:model": tags.get("SAT2MAP_MODEL", ""),
            "sat2map:model_sha256": tags.get("SAT2MAP_MODEL_SHA256", ""),
            "sat2map:version": tags.get("SAT2MAP_VERSION", ""),
            "sat2map:source": tags.get("SAT2MAP_SOURCE", ""),
        },
        "assets": {layer.name: _asset(layer, output.parent, gsd) for layer in layers},
        "links": [made_of] if is_remote(source) and "{" not in source else [],
    }
    atomic_write_text(stac_path(output), json.dumps(item, indent=2, ensure_ascii=False) + "\n")


def _footprint(grid: GeoGrid) -> dict[str, Any]:
    """Return the outline in degrees; a raster across 180 degrees has two polygons."""
    steps = [number / _EDGE for number in range(_EDGE)]
    sides = [
        *((0, s) for s in steps), *((s, 1) for s in steps),
        *((1, 1 - s) for s in steps), *((1 - s, 0) for s in steps),
    ]  # fmt: skip
    ring = [list(grid.transform @ (x * grid.width, y * grid.height)) for x, y in [*sides, sides[0]]]
    outline = {"type": "Polygon", "coordinates": [ring]}
    geometry: dict[str, Any] = transform_geom(grid.crs, LONLAT, outline, precision=7)
    return geometry


def _asset(layer: Layer, folder: Path, gsd: float | None) -> dict[str, Any]:
    size = {"spatial_resolution": gsd} if gsd else {}
    nodata = {} if layer.nodata is None else {"nodata": layer.nodata}
    unit = {"unit": "%"} if layer.name in ("confidence", "probabilities") else {}
    names = layer.descriptions or [""] * layer.bands
    bands = [
        {**({"name": name} if name else {}), "data_type": "uint8", **nodata, **unit, **size} for name in names
    ]
    try:
        href = f"./{layer.path.relative_to(folder).as_posix()}"
    except ValueError:
        href = layer.path.absolute().as_uri()
    return {
        "href": href,
        "type": COG,
        "title": _TITLES[layer.name],
        "roles": _ROLES.get(layer.name, ["data"]),
        "raster:bands": bands,
        **({"classification:classes": describe_classes(layer.palette)} if layer.palette else {}),
    }
