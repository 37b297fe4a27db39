"""Cloud-Optimized GeoTIFFs: finished blocks become one mosaic, and that becomes the file."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

import rasterio
from rasterio.errors import RasterioIOError
from rasterio.shutil import copy

from sat2map.errors import OutputError
from sat2map.geo.gdal import FAILURES, write_error
from sat2map.geo.grid import GeoGrid
from sat2map.geo.layers import Layer
from sat2map.geo.resume import ResumeStore
from sat2map.inference.tiling import Area

BLOCK = 512  # px


def write_cog(parts: ResumeStore, layer: Layer, grid: GeoGrid) -> Path:
    """Write a layer as a Cloud-Optimized GeoTIFF with overviews, into the parts' folder.

    Args:
        parts: Where its finished blocks are.
        layer: Which.
        grid: Its pixels on the ground.

    Returns:
        The file; the caller gives it its final name.

    Raises:
        OutputError: It cannot be written.
    """
    finished = parts.folder / f"finished-{layer.name}.tif"
    mosaic = write_mosaic(parts, layer, grid)
    try:
        copy(
            mosaic,
            finished,
            driver="COG",
            COMPRESS="DEFLATE",
            LEVEL=1,  # of a map, higher ones save 5 % of the bytes and take twice the time
            PREDICTOR="YES",
            BLOCKSIZE=BLOCK,
            OVERVIEWS="IGNORE_EXISTING",
            OVERVIEW_RESAMPLING="AVERAGE" if layer.blend else "MODE",
            BIGTIFF="IF_SAFER",
            NUM_THREADS="ALL_CPUS",
        )
        _check_whole(finished)
    except FAILURES as error:
        raise write_error(layer.path, error) from None
    return finished


def write_mosaic(parts: ResumeStore, layer: Layer, grid: GeoGrid) -> Path:
    """Write a VRT, GDAL's own list of files that make up one raster, of a layer's blocks.

    Args:
        parts: Where they are.
        layer: Which.
        grid: The pixels of all of it on the ground.
    """
    root = Xml.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        _add(root, "SRS", grid.crs.to_wkt(version="WKT2_2019"))
    if not grid.transform.is_identity:
        _add(root, "GeoTransform", ", ".join(repr(float(v)) for v in grid.transform.to_gdal()))
    metadata = Xml.SubElement(root, "Metadata")
    for key, value in layer.tags.items():
        Xml.SubElement(metadata, "MDI", key=key).text = value
    meanings = {1: ["Gray"], 3: ["Red", "Green", "Blue"]}.get(layer.bands, ["Undefined"] * layer.bands)
    if layer.palette is not None:
        meanings = ["Palette"]
    if layer.mask_kind == "alpha":
        meanings = [*meanings, "Alpha"]
    blocks = parts.blocks(layer.name)
    for number, meaning in enumerate(meanings, 1):
        band = Xml.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(number))
        if layer.nodata is not None:
            _add(band, "NoDataValue", str(layer.nodata))
        _add(band, "ColorInterp", meaning)
        if layer.palette is not None:
            table = Xml.SubElement(band, "ColorTable")
            for map_class in layer.palette.classes:
                levels = (*map_class.colours[0], 255)
                Xml.SubElement(table, "Entry", {f"c{i}": str(v) for i, v in enumerate(levels, 1)})
        _add_sources(band, number, blocks)
    if layer.mask_kind == "mask":
        band = Xml.SubElement(Xml.SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
        _add_sources(band, len(meanings) + 1, blocks)
    path = parts.folder / f"{layer.name}.vrt"
    Xml.ElementTree(root).write(path)
    return path


def _check_whole(path: Path) -> None:
    """Check that all blocks lie in the file: what GDAL cannot write at a file's close, it does not tell.

    Raises:
        RasterioIOError: Some do not.
    """
    length = path.stat().st_size
    with rasterio.open(path) as file:
        levels = len(file.overviews(1))
    for level in (None, *range(levels)):
        with rasterio.open(path, **({} if level is None else {"overview_level": level})) as file:
            columns, rows = (-(-side // BLOCK) for side in (file.width, file.height))
            for place in ((x, y) for y in range(rows) for x in range(columns)):
                offset, size = (file.get_tag_item(f"BLOCK_{what}_{place[0]}_{place[1]}", "TIFF", bidx=1)
                                for what in ("OFFSET", "SIZE"))  # fmt: skip
                if not offset or int(offset) + int(size) > length:
                    raise RasterioIOError("a part of it is missing")


def check_outputs(source: str, outputs: list[Path], *, overwrite: bool) -> None:
    """Refuse outputs that would destroy something.

    Raises:
        OutputError: One is the source, exists, is no TIFF by its name, or is there twice.
    """
    for path in outputs:
        if path.suffix.lower() not in (".tif", ".tiff"):
            raise OutputError(f"{path} must end in .tif: a raster on the ground is written as GeoTIFF")
        if outputs.count(path) > 1:
            raise OutputError(f"{path} is named for two outputs: give each its own name")
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise OutputError(f"{path} is the input: give the map another name")
        if path.is_dir():
            raise OutputError(f"{path} is a folder: name the file in it")
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists: give another name, or add --overwrite")


def tags_of(path: str | Path) -> dict[str, str]:
    """Return a raster's tags that sat2map wrote, without their common prefix."""
    with rasterio.open(path) as dataset:
        tags: dict[str, str] = dataset.tags()
    return {
        name.removeprefix("SAT2MAP_"): value for name, value in tags.items() if name.startswith("SAT2MAP_")
    }


def _add(parent: Xml.Element, tag: str, text: str) -> None:
    Xml.SubElement(parent, tag).text = text


def _add_sources(band: Xml.Element, number: int, blocks: list[tuple[Area, Path]]) -> None:
    for area, path in blocks:
        source = Xml.SubElement(band, "SimpleSource")
        Xml.SubElement(source, "SourceFilename", relativeToVRT="1").text = path.name
        _add(source, "SourceBand", str(number))
        size = {"xSize": str(area.width), "ySize": str(area.height)}
        # With this, GDAL opens a block's file when it is read, and not all of them at once.
        properties = {"RasterXSize": str(area.width), "RasterYSize": str(area.height), "DataType": "Byte"}
        Xml.SubElement(source, "SourceProperties", properties)
        Xml.SubElement(source, "SrcRect", {**size, "xOff": "0", "yOff": "0"})
        Xml.SubElement(source, "DstRect", {**size, "xOff": str(area.left), "yOff": str(area.top)})
