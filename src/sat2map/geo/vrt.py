"""GDAL's virtual rasters (VRT): one raster made of files, and the Cloud-Optimized GeoTIFF made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

import rasterio
from affine import Affine
from rasterio.errors import RasterioIOError
from rasterio.shutil import copy

from sat2map.geo.gdal import COPY_MEMORY, FAILURES, write_error
from sat2map.geo.grid import GeoGrid
from sat2map.images.masks import has_mask_band
from sat2map.images.palette import Palette
from sat2map.images.vrt import add_band, add_mask, add_metadata, add_source, add_text, vrt_root
from sat2map.inference.tiling import Area
from sat2map.runtime.cpu import processor

BLOCK = 512  # px


class Vrt:
    """A virtual raster that is being described.

    Example:
        >>> vrt = Vrt(grid, ["Red", "Green", "Blue"], mask=True)                      # doctest: +SKIP
        >>> vrt.add_file("rows.tif", Area(0, 0, 64, 512))                             # doctest: +SKIP
        >>> vrt.write(Path("map.vrt"))                                                # doctest: +SKIP
    """

    def __init__(
        self,
        grid: GeoGrid,
        meanings: Sequence[str],
        *,
        dtype: str = "uint8",
        nodata: float | None = None,
        mask: bool = False,
        palette: Palette | None = None,
        descriptions: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Describe a raster without files.

        Args:
            grid: Where its pixels lie.
            meanings: What each band holds, in GDAL's words: `Red`, `Gray`, `Palette`, `Alpha`, ….
            dtype: Type of all bands, in numpy's words.
            nodata: Value of missing pixels.
            mask: Whether the files have a mask of their own.
            palette: Names and colours of the first band's values, from 0.
            descriptions: A text for each band.
            tags: Metadata.
        """
        root = _dataset(grid)
        add_metadata(root, tags or {})
        bands = [add_band(root, dtype, meaning, nodata) for meaning in meanings]
        for band, text in zip(bands, descriptions, strict=False):
            add_text(band, "Description", text)
        if palette is not None:
            listed = Xml.SubElement(bands[0], "CategoryNames")
            for name in palette.names:
                add_text(listed, "Category", name)
            _add_colours(bands[0], [(*one.colours[0], 255) for one in palette.classes])
        if mask:
            add_mask(root)
        self._root = root

    def add_file(self, name: str, area: Area, *, mask_band: str = "mask,1", relative: bool = True) -> None:
        """Put all of a file's pixels into a rectangle of the raster.

        The file keeps its mask in `mask_band`; its name is relative to the VRT, or not.
        """
        for band in self._root.iter("VRTRasterBand"):
            source = add_source(band, name, band.get("band") or mask_band, relative=relative)
            _add_window(source, area)
            # With this, GDAL opens a file when it is looked at, and not all of them at once.
            Xml.SubElement(
                source, "SourceProperties", RasterXSize=str(area.width), RasterYSize=str(area.height),
                DataType=band.get("dataType", ""), BlockXSize=str(BLOCK), BlockYSize=str(BLOCK),
            )  # fmt: skip

    def to_bytes(self) -> bytes:
        """Return its XML."""
        return Xml.tostring(self._root)

    def write(self, path: Path) -> None:
        """Write it as a .vrt file."""
        Xml.ElementTree(self._root).write(path)


def window_vrt(dataset: rasterio.DatasetReader, area: Area, grid: GeoGrid) -> str:
    """Return the XML of a virtual raster that is a rectangle of another one, opened again by its name."""
    part = grid.part(area)
    root = _dataset(part)
    for number in dataset.indexes:
        interp = dataset.colorinterp[number - 1].name
        nodata = dataset.nodatavals[number - 1]
        band = add_band(root, dataset.dtypes[number - 1], interp, nodata)
        bits = dataset.tags(number, ns="IMAGE_STRUCTURE").get("NBITS")
        if bits:
            add_metadata(band, {"NBITS": bits}, domain="IMAGE_STRUCTURE")
        add_text(band, "Description", dataset.descriptions[number - 1] or "")
        if interp == "palette":
            _add_colours(band, dataset.colormap(number).values())
        _add_window(add_source(band, dataset.name, number), part.whole, area)
    if has_mask_band(dataset):
        _add_window(add_source(add_mask(root), dataset.name, "mask,1"), part.whole, area)
    return Xml.tostring(root, encoding="unicode")


def copy_to_cog(
    source: Path, target: Path, output: Path, *, average: bool, compress: str = "deflate"
) -> None:
    """Copy a raster into a Cloud-Optimized GeoTIFF with overviews.

    Args:
        source: A raster, such as a VRT.
        target: The file to write.
        output: Its final name, for messages.
        average: Whether overviews average pixels; else they take the most frequent one (class numbers).
        compress: How its blocks are compressed.

    Raises:
        OutputError: It cannot be written.
    """
    options: dict[str, object] = {}
    if compress in ("deflate", "zstd"):
        options["LEVEL"] = 1  # higher ones save 5 % and take twice as long
    if compress in ("deflate", "zstd", "lzw"):
        options["PREDICTOR"] = "YES"
    if compress == "webp":
        options["QUALITY"] = 100  # lossless
    try:
        with rasterio.Env(**COPY_MEMORY):
            copy(
                source,
                target,
                driver="COG",
                COMPRESS=compress.upper(),
                BLOCKSIZE=BLOCK,
                OVERVIEWS="IGNORE_EXISTING",
                OVERVIEW_RESAMPLING="AVERAGE" if average else "MODE",
                BIGTIFF="IF_SAFER",
                NUM_THREADS=processor().threads,
                **options,
            )
        _check_whole(target)
    except FAILURES as error:
        raise write_error(output, error) from None


def _check_whole(path: Path) -> None:
    """Check that all blocks lie in the file: GDAL reports no failure to write at a file's close.

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


def _dataset(grid: GeoGrid) -> Xml.Element:
    """Return a virtual raster without bands that lies where a grid does."""
    control = grid.control
    transform = grid.transform if grid.crs is not None or control is None else Affine.identity()
    points, point_crs = ((), None) if control is None else (control.points, control.crs)
    rpcs = control.rpcs.to_gdal() if control is not None and control.rpcs is not None else None
    return vrt_root(grid.width, grid.height, grid.crs, transform, points, point_crs, rpcs)


def _add_window(source: Xml.Element, drawn: Area, seen: Area | None = None) -> None:
    """Let a source show a part of its file, `seen` (None: from its first pixel), at a place of its own."""
    size = {"xSize": str(drawn.width), "ySize": str(drawn.height)}
    column, row = (seen.left, seen.top) if seen else (0, 0)
    Xml.SubElement(source, "SrcRect", {"xOff": str(column), "yOff": str(row), **size})
    Xml.SubElement(source, "DstRect", {"xOff": str(drawn.left), "yOff": str(drawn.top), **size})


def _add_colours(band: Xml.Element, colours: Iterable[tuple[int, ...]]) -> None:
    table = Xml.SubElement(band, "ColorTable")
    for colour in colours:
        Xml.SubElement(table, "Entry", {f"c{i}": str(v) for i, v in enumerate(colour, 1)})
