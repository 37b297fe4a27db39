"""Presents odd samples of a raster as plain ones: a GDAL virtual raster of 8-bit, black-is-zero, RGB bands.

GDAL hands out samples as they are stored: 4-bit numbers from 0 to 15, white as 0, numbers of palette colours,
cyan instead of red. The virtual raster does the arithmetic, so that whatever reads it (windows, warping,
overviews, tile servers) sees one meaning. The pieces of such descriptions, XML elements, are here too.
See https://gdal.org/drivers/raster/vrt.html.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import rasterio
from rasterio.dtypes import dtype_rev, typename_fwd

from sat2map.images.tiff import TiffError, read_tiff_header

_FULL = {"uint8": 255, "uint16": 65535}
_INKS = ("cyan", "magenta", "yellow", "black")


def plain_vrt(dataset: Any) -> str | None:
    """Return the XML of a virtual raster with plain samples, or None where the dataset's are plain already.

    It opens with `rasterio.open(xml)`, has the size, place and mask of the dataset, and reads it by its name.
    """
    root = _like(dataset)
    found = (
        _add_inks(root, dataset)
        or _add_palette(root, dataset)
        or _add_ranges(root, dataset)
        or _add_unmultiplied(root, dataset)
    )
    return _finished(root, dataset) if found else None


@contextlib.contextmanager
def plain_samples(dataset: Any) -> Iterator[Any]:
    """Yield a dataset of 8 bits or more whose black is 0 and whose bands are colours: mostly itself."""
    xml = plain_vrt(dataset)
    if xml is None:
        yield dataset
        return
    with rasterio.open(xml) as plain:
        yield plain


def unmarked_vrt(dataset: Any) -> str:
    """Return the XML of a virtual raster that is the dataset, but with no band marked as alpha."""
    root = _like(dataset)
    for number, interp in enumerate(dataset.colorinterp, 1):
        name = "Undefined" if interp.name == "alpha" else interp.name
        band = add_band(root, dataset.dtypes[number - 1], name, dataset.nodatavals[number - 1])
        add_source(band, dataset.name, number)
    return _finished(root, dataset)


def vrt_root(
    width: int,
    height: int,
    crs: Any,
    transform: Any,
    points: Sequence[Any] = (),
    point_crs: Any = None,
    rpcs: Mapping[str, str] | None = None,
) -> Xml.Element:
    """Return a virtual raster without bands.

    Args:
        width: Columns.
        height: Rows.
        crs: rasterio's CRS, or None.
        transform: Of pixels to coordinates; the identity is no place, and is left out.
        points: rasterio's ground control points, which stand in place of CRS and transform.
        point_crs: Their CRS, or None.
        rpcs: Rational polynomials, as GDAL's metadata has them.
    """
    root = Xml.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    if points:
        wkt = point_crs.to_wkt(version="WKT2_2019") if point_crs else ""
        listed = Xml.SubElement(root, "GCPList", Projection=wkt)
        for number, point in enumerate(points, 1):
            place = {"Pixel": point.col, "Line": point.row, "X": point.x, "Y": point.y, "Z": point.z or 0.0}
            Xml.SubElement(listed, "GCP", {"Id": str(number)} | {k: repr(float(v)) for k, v in place.items()})
    else:
        if crs:
            add_text(root, "SRS", crs.to_wkt(version="WKT2_2019"))
        if not transform.is_identity:
            add_text(root, "GeoTransform", ", ".join(repr(float(v)) for v in transform.to_gdal()))
    if rpcs:
        add_metadata(root, rpcs, domain="RPC")
    return root


def add_band(
    root: Xml.Element, dtype: str, meaning: str, nodata: float | None = None, function: str = ""
) -> Xml.Element:
    """Add a band.

    Args:
        root: Of `vrt_root`.
        dtype: Its type, in numpy's words.
        meaning: What it holds, in GDAL's words: `red`, `gray`, `palette`, `alpha`, ….
        nodata: Value of missing pixels.
        function: What makes one band of several sources: `mul` or `div`.
    """
    number = len(root.findall("VRTRasterBand")) + 1
    kind = typename_fwd[dtype_rev[dtype]]  # `Byte` for uint8
    band = Xml.SubElement(root, "VRTRasterBand", dataType=kind, band=str(number))
    add_text(band, "ColorInterp", meaning.capitalize())
    if nodata is not None:
        add_text(band, "NoDataValue", repr(nodata))
    if function:
        band.set("subClass", "VRTDerivedRasterBand")
        add_text(band, "PixelFunctionType", function)
        add_text(band, "SourceTransferType", "Float64")
    return band


def add_mask(root: Xml.Element) -> Xml.Element:
    """Add a mask that all bands share, and return its band."""
    return Xml.SubElement(Xml.SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")


def add_source(
    band: Xml.Element, name: str, number: int | str, *, relative: bool = False, **more: object
) -> Xml.Element:
    """Let a band show a band of a file; `more` are elements of a complex source, such as `ScaleRatio`."""
    source = Xml.SubElement(band, "ComplexSource" if more else "SimpleSource")
    Xml.SubElement(source, "SourceFilename", relativeToVRT=str(int(relative))).text = name
    for tag, value in {"SourceBand": number, **more}.items():
        add_text(source, tag, str(value))
    return source


def add_metadata(parent: Xml.Element, values: Mapping[str, str], **domain: str) -> None:
    """Add metadata, of a domain or of none."""
    metadata = Xml.SubElement(parent, "Metadata", domain)
    for key, value in values.items():
        Xml.SubElement(metadata, "MDI", key=key).text = value


def add_text(parent: Xml.Element, tag: str, text: str) -> None:
    """Add an element that holds a text."""
    Xml.SubElement(parent, tag).text = text


def _like(dataset: Any) -> Xml.Element:
    points, crs = dataset.gcps
    size = dataset.width, dataset.height
    return vrt_root(*size, dataset.crs, dataset.transform, points, crs, dataset.tags(ns="RPC"))


def _finished(root: Xml.Element, dataset: Any) -> str:
    """Return the XML, with the dataset's mask where its bands have no nodata value."""
    flags = {flag.name for flag in dataset.mask_flag_enums[0]}
    if "alpha" not in flags and flags & {"per_dataset", "nodata"} and root.find(".//NoDataValue") is None:
        add_source(add_mask(root), dataset.name, "mask,1")
    return Xml.tostring(root, encoding="unicode")


def _add_inks(root: Xml.Element, dataset: Any) -> bool:
    """Red is (full - cyan) times (full - black) / full, as Pillow and libtiff compute it without profiles."""
    names = [interp.name for interp in dataset.colorinterp]
    dtype = dataset.dtypes[0]
    if not set(_INKS) <= set(names) or dtype not in _FULL:
        return False
    for ink, colour in zip(_INKS, ("red", "green", "blue"), strict=False):
        band = add_band(root, dtype, colour, function="mul")
        add_source(band, dataset.name, names.index(ink) + 1, ScaleOffset=_FULL[dtype], ScaleRatio=-1)
        black = names.index("black") + 1
        add_source(band, dataset.name, black, ScaleOffset=1, ScaleRatio=-1 / _FULL[dtype])
    return True


def _add_unmultiplied(root: Xml.Element, dataset: Any) -> bool:
    """Colours that are stored multiplied by alpha are divided by it; GDAL does not say that they are."""
    names = [interp.name for interp in dataset.colorinterp]
    dtype = dataset.dtypes[0]
    if dtype not in _FULL or "alpha" not in names or not _is_premultiplied(dataset):
        return False
    alpha = names.index("alpha") + 1
    for number, name in enumerate(names, 1):
        band = add_band(root, dtype, name, function="" if number == alpha else "div")
        if number == alpha:
            add_source(band, dataset.name, number)
        else:
            add_source(band, dataset.name, number, ScaleOffset=0, ScaleRatio=float(_FULL[dtype]))
            add_source(band, dataset.name, alpha)
    return True


def _is_premultiplied(dataset: Any) -> bool:
    if dataset.driver not in ("GTiff", "COG") or not Path(dataset.name).is_file():
        return False
    try:
        with Path(dataset.name).open("rb") as file:
            return read_tiff_header(file).premultiplied
    except (OSError, TiffError):
        return False


def _add_palette(root: Xml.Element, dataset: Any) -> bool:
    """Colours of a palette; shades of grey only, from black or from white, make one grey band."""
    if dataset.count != 1 or dataset.dtypes[0] not in _FULL:
        return False
    try:
        table: dict[int, tuple[int, int, int, int]] = dataset.colormap(1)
    except ValueError:
        return False
    grey = all(red == green == blue for red, green, blue, _ in table.values())
    clear = any(alpha != 255 for *_, alpha in table.values())
    colours = ("red", "green", "blue", "alpha")[: 4 if clear else 3]
    for component, colour in enumerate(("gray",) if grey and not clear else colours, 1):
        add_source(add_band(root, "uint8", colour), dataset.name, 1, ColorTableComponent=component)
    return True


def _add_ranges(root: Xml.Element, dataset: Any) -> bool:
    """Fewer than 8 bits become 8; where white is 0 it becomes the largest number."""
    inverted = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    bits = [int(dataset.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", 0)) for band in dataset.indexes]
    few = [dataset.dtypes[n] == "uint8" and 0 < count < 8 for n, count in enumerate(bits)]
    if dataset.dtypes[0] not in _FULL or not (inverted or any(few)):
        return False
    for number, interp in enumerate(dataset.colorinterp):
        full = (1 << bits[number]) - 1 if bits[number] else _FULL[dataset.dtypes[number]]
        ratio = 255 / full if few[number] else 1.0
        offset = 0.0
        if inverted and interp.name != "alpha":
            ratio, offset = -ratio, full * ratio
        name = "gray" if interp.name == "undefined" and number == 0 else interp.name
        band = add_band(root, dataset.dtypes[number], name)
        add_source(band, dataset.name, number + 1, ScaleOffset=offset, ScaleRatio=ratio)
    return True
