"""Owns telling a raster on the ground from a plain picture, without GDAL, which may not be installed."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from sat2map.images.pixels import IMAGE_SUFFIXES

# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, GDAL_NODATA.
_GEO_TAGS = (33550, 33922, 34264, 34735, 42113)
_WORLD_FILES = (".tfw", ".tifw", ".wld", ".tif.aux.xml", ".tiff.aux.xml", ".aux.xml")
_ARCHIVES = ("http://", "https://", "s3://", "gs://", "az://", "/vsi", "zip://", "zip+", "file://")
_RASTER_SUFFIXES = (
    ".vrt",
    ".jp2",
    ".j2k",
    ".img",
    ".ecw",
    ".sid",
    ".nc",
    ".asc",
    ".ntf",
    ".bil",
    ".mrf",
    ".hdf",
)
_PICTURE_PIXELS = 2 * 89_478_485  # above this, Pillow refuses


def is_raster(text: str) -> bool:
    """Whether an input of `translate` is for the raster way.

    That is an address (https://, s3://, /vsicurl/…), a file only GDAL reads (.vrt, .jp2, …), or a TIFF that a
    picture reader would read badly: one with a georeference, a nodata value or a mask, of more than 8 bits,
    or too large. A plain TIFF photo is a picture, and so is a missing file.
    """
    if text.startswith(_ARCHIVES):
        return True
    path = Path(text)
    suffix = path.suffix.lower()
    if not path.is_file():
        return False
    if suffix in _RASTER_SUFFIXES:
        return True
    return suffix in (".tif", ".tiff") and suffix in IMAGE_SUFFIXES and not _is_plain_tiff(path)


def _is_plain_tiff(path: Path) -> bool:
    if any(path.with_suffix(suffix).exists() for suffix in _WORLD_FILES[:3]):
        return False
    if any(Path(f"{path}{suffix}").exists() for suffix in (".aux.xml", ".msk", ".ovr")):
        return False
    # Whatever Pillow cannot open is for GDAL, or for its message.
    with contextlib.suppress(Exception), Image.open(path, formats=("TIFF",)) as image:
        assert isinstance(image, TiffImageFile)
        bits = image.tag_v2.get(258, (1,))
        small = image.width * image.height <= _PICTURE_PIXELS
        return small and max(bits) <= 8 and not any(tag in image.tag_v2 for tag in _GEO_TAGS)
    return False


def split_inputs(inputs: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the rasters among the inputs of `translate`, and the other inputs as they are.

    A folder or pattern with rasters in it is taken apart; one without stays whole.
    """
    rasters: list[str] = []
    others: list[str] = []
    for text in inputs:
        path = Path(text)
        if is_raster(text):
            rasters.append(text)
            continue
        if path.is_dir():
            files = [str(file) for file in sorted(path.iterdir()) if file.is_file()]
        else:
            files = [] if path.exists() else sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - absolute ones too
        found = [file for file in files if is_raster(file)]
        rasters += found
        pictures = [
            file for file in files if file not in found and Path(file).suffix.lower() in IMAGE_SUFFIXES
        ]
        others += pictures if found else [text]
    return rasters, others
