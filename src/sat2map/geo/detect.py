"""Whether an input is a raster, which GDAL reads, or a plain image; works without GDAL, which is an extra."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sat2map.images.limits import MAX_PIXELS
from sat2map.images.pixels import IMAGE_SUFFIXES
from sat2map.images.tiff import TiffError, read_tiff_header

RASTER_SUFFIXES = (
    ".asc", ".bil", ".bmp", ".dat", ".ecw", ".ers", ".gpkg", ".grd", ".gtiff", ".hdf", ".img", ".j2k", ".jp2",
    ".kea", ".mbtiles", ".mrf", ".nc", ".ntf", ".pix", ".rst", ".sid", ".tif", ".tiff", ".vrt", ".xml",
)  # fmt: skip
"""What is tried in a folder. A file that is named itself is tried whatever its suffix."""

STAC_SUFFIXES = (".json", ".geojson")
_SEARCHED = 100_000  # bytes of a file in which "stac_version" must stand
_REMOTE = ("http://", "https://", "s3://", "gs://", "az://", "/vsi", "zip://", "zip+", "file://")
_GDAL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]+:.")  # GTIFF_DIR:1:file.tif, netcdf:file.nc:Band1


def is_remote_name(text: str) -> bool:
    """Whether an input is an address (https://, s3://) or one of GDAL's virtual paths (/vsicurl/…)."""
    return text.startswith(_REMOTE)


def is_raster(text: str, *, listed: bool = False) -> bool:
    """Whether an input is for GDAL.

    Those are addresses, GDAL's own names (`netcdf:file.nc:Band1`), images with a georeference in them or
    beside them (world file, .aux.xml, .tab), TIFFs with a nodata value, a mask, more than 8 bits or too many
    pixels for Pillow, and whatever else GDAL opens. A plain photo is none, and neither is a missing file.

    Args:
        text: A path, an address or a name.
        listed: Whether it was found in a folder: then its suffix must be a known one.
    """
    if is_remote_name(text):
        return True
    path = Path(text)
    if not path.is_file():
        # Of a folder, such as a File Geodatabase or SAFE, nothing is a raster by itself.
        return not path.exists() and _GDAL_NAME.match(text) is not None and _gdal_opens(text)
    if not listed and is_stac_file(path):
        return True
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff"):
        return not _is_plain_tiff(path)
    if suffix in IMAGE_SUFFIXES:
        return _has_sidecar(path) and _gdal_finds(text, _is_placed, without_gdal=True)
    if suffix in RASTER_SUFFIXES:
        return _gdal_opens(text)
    return not listed and _gdal_opens(text)


def is_stac_file(path: Path) -> bool:
    """Whether a file is a STAC item, by its suffix and its beginning."""
    if path.suffix.lower() not in STAC_SUFFIXES or not path.is_file():
        return False
    with path.open("rb") as file:
        return b'"stac_version"' in file.read(_SEARCHED)


def _is_plain_tiff(path: Path) -> bool:
    if _has_sidecar(path):
        return False
    try:
        with path.open("rb") as file:
            header = read_tiff_header(file)
    except (OSError, TiffError):
        return False  # left to GDAL and its message
    if header.georeferenced or header.nodata or header.masked or header.width * header.height > MAX_PIXELS:
        return False
    # GDAL knows no orientation; what is stored turned is read as an image, of any type.
    return header.bits <= 8 or header.orientation != 1


def _has_sidecar(path: Path) -> bool:
    """Whether a file that GDAL reads together with this one lies beside it, in lower or upper case."""
    suffix = path.suffix[1:]
    world = [f"{suffix[0]}{suffix[-1]}w", f"{suffix}w", "wld", "tab", "rpb"]
    names = [f"{path.stem}.{end}" for end in world] + [
        f"{path.name}.aux.xml", f"{path.stem}.aux", f"{path.name}.msk", f"{path.name}.ovr",
        f"{path.stem}_rpc.txt", f"{path.stem}_RPC.TXT",
    ]  # fmt: skip
    for name in names:
        stem, ending = name[: len(path.stem)], name[len(path.stem) :]
        if any(path.with_name(stem + form).exists() for form in (ending, ending.lower(), ending.upper())):
            return True
    return False


def _gdal_opens(text: str) -> bool:
    """Whether GDAL opens a file; without GDAL, a file with a raster's suffix is taken for one."""
    return _gdal_finds(text, lambda dataset: True, without_gdal=Path(text).suffix.lower() in RASTER_SUFFIXES)


def _gdal_finds(text: str, found: Callable[[Any], bool], *, without_gdal: bool) -> bool:
    try:
        import rasterio
    except ModuleNotFoundError:
        return without_gdal
    from sat2map.geo.gdal import FAILURES, gdal_env

    try:
        with gdal_env(), rasterio.open(text) as dataset:
            return found(dataset)
    except FAILURES:
        return False


def _is_placed(dataset: Any) -> bool:
    return bool(
        dataset.crs or not dataset.transform.is_identity or dataset.gcps[0] or dataset.rpcs is not None
    )
