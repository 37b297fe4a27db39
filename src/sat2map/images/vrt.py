"""Presents odd samples of a raster as plain ones: a GDAL virtual raster of 8-bit, black-is-zero, RGB bands.

GDAL hands out samples as they are stored: 4-bit numbers from 0 to 15, white as 0, numbers of palette colours,
cyan instead of red. The virtual raster does the arithmetic, so that whatever reads it (windows, warping,
overviews, tile servers) sees one meaning. See https://gdal.org/drivers/raster/vrt.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from sat2map.images.tiff import TiffError, read_tiff_header

_FULL = {"uint8": 255, "uint16": 65535}
GDAL_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
}
_INKS = ("cyan", "magenta", "yellow", "black")


def plain_vrt(dataset: Any) -> str | None:
    """Return the XML of a virtual raster with plain samples, or None where the dataset's are plain already.

    It opens with `rasterio.open(xml)`, has the size, place and mask of the dataset, and reads it by its name.
    """
    bands = (
        _ink_bands(dataset)
        or _palette_bands(dataset)
        or _ranged_bands(dataset)
        or _unmultiplied_bands(dataset)
    )
    if bands is None:
        return None
    return _dataset(dataset, bands)


def unmarked_vrt(dataset: Any) -> str:
    """Return the XML of a virtual raster that is the dataset, but with no band marked as alpha."""
    bands = []
    for number, interp in enumerate(dataset.colorinterp, 1):
        name = "Undefined" if interp.name == "alpha" else interp.name.capitalize()
        nodata = dataset.nodatavals[number - 1]
        extra = "" if nodata is None else f"<NoDataValue>{nodata!r}</NoDataValue>"
        dtype = GDAL_TYPES[dataset.dtypes[number - 1]]
        bands.append(_band(number, dtype, name, _source(dataset, number), extra))
    return _dataset(dataset, bands)


def _dataset(dataset: Any, bands: list[str]) -> str:
    rpcs = dataset.tags(ns="RPC")
    meta = "".join(f"<MDI key={quoteattr(key)}>{escape(value)}</MDI>" for key, value in rpcs.items())
    meta = meta and f'<Metadata domain="RPC">{meta}</Metadata>'
    mask = ""
    flags = {flag.name for flag in dataset.mask_flag_enums[0]}
    inside = "".join(bands)
    if "alpha" not in flags and flags & {"per_dataset", "nodata"} and "<NoDataValue>" not in inside:
        source = _source(dataset, "mask,1")
        mask = f'<MaskBand><VRTRasterBand dataType="Byte">{source}</VRTRasterBand></MaskBand>'
    size = f'rasterXSize="{dataset.width}" rasterYSize="{dataset.height}"'
    return f"<VRTDataset {size}>{_place(dataset)}{meta}{inside}{mask}</VRTDataset>"


def _place(dataset: Any) -> str:
    if dataset.gcps[0]:
        points, crs = dataset.gcps
        listed = "".join(
            f'<GCP Id="{n}" Pixel="{p.col!r}" Line="{p.row!r}" X="{p.x!r}" Y="{p.y!r}" Z="{p.z or 0.0!r}"/>'
            for n, p in enumerate(points)
        )
        projection = quoteattr(crs.to_wkt()) if crs else '""'
        return f"<GCPList Projection={projection}>{listed}</GCPList>"
    crs = f"<SRS>{escape(dataset.crs.to_wkt())}</SRS>" if dataset.crs else ""
    if dataset.transform.is_identity:
        return crs
    return f"{crs}<GeoTransform>{', '.join(repr(v) for v in dataset.transform.to_gdal())}</GeoTransform>"


def _source(dataset: Any, band: int | str, more: str = "") -> str:
    kind = "ComplexSource" if more else "SimpleSource"
    name = f'<SourceFilename relativeToVRT="0">{escape(dataset.name)}</SourceFilename>'
    return f"<{kind}>{name}<SourceBand>{band}</SourceBand>{more}</{kind}>"


def _band(number: int, dtype: str, interp: str, sources: str, extra: str = "", kind: str = "") -> str:
    return (
        f'<VRTRasterBand dataType="{dtype}" band="{number}"{kind}><ColorInterp>{interp}</ColorInterp>'
        f"{extra}{sources}</VRTRasterBand>"
    )


def _ink_bands(dataset: Any) -> list[str] | None:
    """Red is (full - cyan) times (full - black) / full, as Pillow and libtiff compute it without profiles."""
    names = [interp.name for interp in dataset.colorinterp]
    full = _FULL.get(dataset.dtypes[0])
    if not set(_INKS) <= set(names) or full is None:
        return None
    black = names.index("black") + 1
    left = f"<ScaleOffset>1</ScaleOffset><ScaleRatio>{-1 / full!r}</ScaleRatio>"
    bands = []
    for number, (ink, colour) in enumerate(zip(_INKS, ("Red", "Green", "Blue"), strict=False), 1):
        light = f"<ScaleOffset>{full}</ScaleOffset><ScaleRatio>-1</ScaleRatio>"
        sources = _source(dataset, names.index(ink) + 1, light) + _source(dataset, black, left)
        function = (
            "<PixelFunctionType>mul</PixelFunctionType><SourceTransferType>Float64</SourceTransferType>"
        )
        dtype = "Byte" if full == 255 else "UInt16"
        bands.append(_band(number, dtype, colour, sources, function, ' subClass="VRTDerivedRasterBand"'))
    return bands


def _unmultiplied_bands(dataset: Any) -> list[str] | None:
    """Colours that are stored multiplied by alpha are divided by it; GDAL does not say that they are."""
    full = _FULL.get(dataset.dtypes[0])
    names = [interp.name for interp in dataset.colorinterp]
    if full is None or "alpha" not in names or not _is_premultiplied(dataset):
        return None
    alpha = names.index("alpha") + 1
    dtype = GDAL_TYPES[dataset.dtypes[0]]
    function = "<PixelFunctionType>div</PixelFunctionType><SourceTransferType>Float64</SourceTransferType>"
    whole = f"<ScaleOffset>0</ScaleOffset><ScaleRatio>{float(full)!r}</ScaleRatio>"
    bands = []
    for number, name in enumerate(names, 1):
        interp = name.capitalize()
        if number == alpha:
            bands.append(_band(number, dtype, interp, _source(dataset, number)))
            continue
        sources = _source(dataset, number, whole) + _source(dataset, alpha)
        bands.append(_band(number, dtype, interp, sources, function, ' subClass="VRTDerivedRasterBand"'))
    return bands


def _is_premultiplied(dataset: Any) -> bool:
    if dataset.driver not in ("GTiff", "COG") or not Path(dataset.name).is_file():
        return False
    try:
        with Path(dataset.name).open("rb") as file:
            return read_tiff_header(file).premultiplied
    except (OSError, TiffError):
        return False


def _palette_bands(dataset: Any) -> list[str] | None:
    """Colours of a palette; shades of grey only, from black or from white, make one grey band."""
    if dataset.count != 1 or dataset.dtypes[0] not in _FULL:
        return None
    try:
        table: dict[int, tuple[int, int, int, int]] = dataset.colormap(1)
    except ValueError:
        return None
    grey = all(red == green == blue for red, green, blue, _ in table.values())
    clear = any(alpha != 255 for *_, alpha in table.values())
    count = 1 if grey and not clear else 4 if clear else 3
    interps = ("Gray",) if count == 1 else ("Red", "Green", "Blue", "Alpha")
    return [
        _band(
            n, "Byte", interps[n - 1], _source(dataset, 1, f"<ColorTableComponent>{n}</ColorTableComponent>")
        )
        for n in range(1, count + 1)
    ]


def _ranged_bands(dataset: Any) -> list[str] | None:
    """Fewer than 8 bits become 8; where white is 0 it becomes the largest number."""
    inverted = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    bits = [int(dataset.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", 0)) for band in dataset.indexes]
    few = [dataset.dtypes[n] == "uint8" and 0 < count < 8 for n, count in enumerate(bits)]
    if dataset.dtypes[0] not in _FULL or not (inverted or any(few)):
        return None
    bands = []
    for number, interp in enumerate(dataset.colorinterp, 1):
        full = (1 << bits[number - 1]) - 1 if bits[number - 1] else _FULL[dataset.dtypes[number - 1]]
        ratio = 255 / full if few[number - 1] else 1.0
        offset = 0.0
        if inverted and interp.name != "alpha":
            ratio, offset = -ratio, full * ratio
        more = f"<ScaleOffset>{offset!r}</ScaleOffset><ScaleRatio>{ratio!r}</ScaleRatio>"
        name = {"undefined": "Gray" if number == 1 else "Undefined"}.get(
            interp.name, interp.name.capitalize()
        )
        dtype = "Byte" if dataset.dtypes[number - 1] == "uint8" else "UInt16"
        bands.append(_band(number, dtype, name, _source(dataset, number, more)))
    return bands
