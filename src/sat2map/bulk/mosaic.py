"""Owns putting the windows of one raster together again: a VRT that lists them, or one COG."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.shutil import copy

from sat2map.bulk.tasks import Mosaic
from sat2map.errors import OutputError
from sat2map.files import atomic_path
from sat2map.geo.gdal import FAILURES, gdal_env, write_error
from sat2map.runtime.cpu import processor

_MEANINGS = {
    ColorInterp.red: "Red",
    ColorInterp.green: "Green",
    ColorInterp.blue: "Blue",
    ColorInterp.alpha: "Alpha",
    ColorInterp.gray: "Gray",
}


def write_vrt(mosaic: Mosaic, folder: Path) -> Path:
    """Write a VRT, GDAL's own list of files that make up one raster, of a mosaic's windows.

    Windows without a file are those with nothing in them: the VRT says so in the way that the others do. No
    pixel is read or copied, so this takes as long for a country as for a village.

    Args:
        mosaic: What was cut; all of its tasks are done.
        folder: The job's folder; the VRT names files relative to it, and both may move together.

    Raises:
        OutputError: It cannot be written, or no window holds anything.
    """
    path = folder / f"{mosaic.name}.vrt"
    there = [task for task in mosaic.tasks if (folder / task.output).is_file()]
    if not there:
        raise OutputError(f"{path} is not written: every window of the raster holds only nodata")
    try:
        with gdal_env():
            root = _describe(mosaic, folder / there[0].output, there[0].window)
            for task in there:
                assert task.window is not None
                _add_window(root, task.output, task.window)
    except FAILURES as error:
        raise write_error(path, error) from None
    with atomic_path(path) as temporary:
        Xml.ElementTree(root).write(temporary)
    return path


def write_cog(vrt: Path) -> Path:
    """Copy a VRT into one Cloud-Optimized GeoTIFF with overviews, beside it.

    Raises:
        OutputError: It cannot be written.
    """
    path = vrt.with_suffix(".tif")
    try:
        with gdal_env(), atomic_path(path) as temporary:
            copy(
                vrt,
                temporary,
                driver="COG",
                COMPRESS="DEFLATE",
                LEVEL=1,
                PREDICTOR="YES",
                BLOCKSIZE=512,
                OVERVIEW_RESAMPLING="AVERAGE",
                BIGTIFF="IF_SAFER",
                NUM_THREADS=processor().threads,
            )
    except FAILURES as error:
        raise write_error(path, error) from None
    return path


def _describe(mosaic: Mosaic, example: Path, window: tuple[int, int, int, int] | None) -> Xml.Element:
    """Return a VRT of the whole without any window in it; `example` says all that they have in common."""
    assert window is not None
    root = Xml.Element("VRTDataset", rasterXSize=str(mosaic.width), rasterYSize=str(mosaic.height))
    with rasterio.open(example) as file:
        if file.crs is not None:
            _add(root, "SRS", file.crs.to_wkt(version="WKT2_2019"))
        if file.crs is not None or not file.transform.is_identity:
            whole = file.transform @ Affine.translation(-window[0], -window[1])
            _add(root, "GeoTransform", ", ".join(repr(float(v)) for v in whole.to_gdal()))
        metadata = Xml.SubElement(root, "Metadata")
        for key, value in file.tags().items():
            if key.startswith(("SAT2MAP_", "TIFFTAG_SOFTWARE")):
                Xml.SubElement(metadata, "MDI", key=key).text = value
        for number, meaning in zip(file.indexes, file.colorinterp, strict=True):
            band = Xml.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(number))
            if file.nodata is not None:
                _add(band, "NoDataValue", f"{file.nodata:g}")
            _add(band, "ColorInterp", _MEANINGS.get(meaning, "Undefined"))
        flags = file.mask_flag_enums[0]
        if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
            Xml.SubElement(Xml.SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
    return root


def _add_window(root: Xml.Element, output: str, window: tuple[int, int, int, int]) -> None:
    column, row, width, height = window
    size = {"xSize": str(width), "ySize": str(height)}
    for band in root.iter("VRTRasterBand"):
        source = Xml.SubElement(band, "SimpleSource")
        Xml.SubElement(source, "SourceFilename", relativeToVRT="1").text = output
        _add(source, "SourceBand", band.get("band") or "mask,1")
        # With this, GDAL opens a window's file when it is looked at, and not all of them at once.
        Xml.SubElement(
            source, "SourceProperties", RasterXSize=str(width), RasterYSize=str(height), DataType="Byte",
            BlockXSize="512", BlockYSize="512",
        )  # fmt: skip
        Xml.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
        Xml.SubElement(source, "DstRect", {"xOff": str(column), "yOff": str(row), **size})


def _add(parent: Xml.Element, tag: str, text: str) -> None:
    Xml.SubElement(parent, tag).text = text
