"""One picture, stored in any way, is one array and one mask, whichever reader reads it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("rasterio", reason="the geo extra is not installed")

import rasterio
from affine import Affine

from sat2map.geo.gdal import gdal_env
from sat2map.geo.read import open_raster
from sat2map.images.pixels import read_image

HEIGHT, WIDTH = 21, 34
LEVELS = np.random.default_rng(0).integers(0, 16, (3, HEIGHT, WIDTH), dtype=np.uint8)  # times 17: 8 bits
VALID = np.zeros((HEIGHT, WIDTH), bool)
VALID[3:, :25] = True

PLACES: dict[str, dict[str, Any]] = {
    "nowhere": {},
    "UTM": {"crs": "EPSG:32633", "transform": Affine(2.1, 0, 4e5, 0, -2.1, 5.8e6)},
    "degrees": {"crs": "EPSG:4326", "transform": Affine(2e-5, 0, 13, 0, -2e-5, 52)},
    "turned": {"crs": "EPSG:32633", "transform": Affine(2, 1, 4e5, 1, -2, 5.8e6)},
}
TYPES = {"uint8": 17, "uint16": 4000, "int16": 2000, "int32": 10**8, "float32": 0.1, "float64": 1e300}
LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {},
    "planes": {"interleave": "BAND"},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 16},
    "deflate": {"compress": "DEFLATE", "predictor": 2},
    "lzw": {"compress": "LZW"},
    "BigTIFF": {"BIGTIFF": "YES", "ENDIANNESS": "BIG"},
}


@dataclass(frozen=True)
class Storage:
    """How a picture is stored."""

    dtype: str
    bits: int | None
    grey: bool
    inverted: bool
    cmyk: bool
    mask: str
    place: str
    layout: str


@st.composite
def storages(draw: st.DrawFn) -> Storage:
    dtype = draw(st.sampled_from(sorted(TYPES)))
    grey = draw(st.booleans())
    mask = draw(st.sampled_from(["none", "nodata", "alpha", "internal"]))
    eight, plain = dtype == "uint8", mask in ("none", "internal")
    return Storage(
        dtype=dtype,
        bits=4 if eight and plain and draw(st.booleans()) else None,
        grey=grey,
        inverted=eight and grey and plain and draw(st.booleans()),
        cmyk=dtype in ("uint8", "uint16") and not grey and mask == "none" and draw(st.booleans()),
        mask=mask,
        place=draw(st.sampled_from(sorted(PLACES))),
        layout=draw(st.sampled_from(sorted(LAYOUTS))),
    )


def write(path: Path, how: Storage) -> None:
    full = TYPES[how.dtype]
    levels = LEVELS[:1] if how.grey else LEVELS
    values = levels.astype(np.float64) * (1 if how.bits else full)
    if how.inverted:
        values = (15 if how.bits else 255) - values
    bits = None if how.cmyk else how.bits
    if how.cmyk:
        white = 255 if how.dtype == "uint8" else 65535
        values = np.concatenate([white - levels * float(full), np.zeros((1, HEIGHT, WIDTH))])
    nodata = None
    if how.mask == "nodata":
        nodata = 1.0 if how.dtype == "uint8" else 7.0  # no level of the picture
        values = np.where(VALID, values, nodata)
    alpha = how.mask == "alpha"
    if alpha:
        values = np.concatenate([values, np.where(VALID, 255, 0)[None]])
    grey = "MINISWHITE" if how.inverted else "MINISBLACK"
    photometric = "CMYK" if how.cmyk else grey if how.grey else "RGB"
    options = {**LAYOUTS[how.layout], **PLACES[how.place], **({"nbits": bits} if bits else {})}
    if options.get("predictor") and (bits or how.dtype.startswith("float")):
        del options["predictor"]
    with (
        gdal_env(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", count=len(values), height=HEIGHT, width=WIDTH, dtype=how.dtype,
            nodata=nodata, photometric=photometric, alpha="YES" if alpha else "NO", **options,
        ) as dataset,
    ):  # fmt: skip
        dataset.write(values.astype(how.dtype))
        if how.mask == "internal":
            dataset.write_mask(VALID)


def expected_mask(how: Storage) -> NDArray[np.uint8]:
    valid = np.ones_like(VALID) if how.mask == "none" else VALID
    return np.where(valid, np.uint8(255), np.uint8(0))


INVERTED_PLANES = Storage("uint8", None, True, True, False, "none", "UTM", "planes")


@settings(max_examples=150, deadline=None)
@given(storages())
@example(INVERTED_PLANES)
def test_one_picture_is_one_array_however_it_is_stored(how: Storage) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.tif"
        write(path, how)
        scale = None if how.dtype == "uint8" else (0.0, 15.0 * TYPES[how.dtype])
        with gdal_env(), open_raster(path, bands=None, count=3, scale=scale) as raster:
            pixels, mask = raster.read(raster.grid.whole), raster.read_mask(raster.grid.whole)
        picture = read_image(path)
    wanted = expected_mask(how)
    levels = np.repeat(LEVELS[:1], 3, axis=0) if how.grey else LEVELS
    there = wanted > 0
    np.testing.assert_array_equal(mask, wanted)
    np.testing.assert_array_equal(pixels[:, there], levels[:, there] * 17)
    alpha = picture.alpha if picture.alpha is not None else np.full_like(wanted, 255)
    np.testing.assert_array_equal(alpha, wanted)
    if how.dtype == "uint8":
        found = np.moveaxis(np.broadcast_to(picture.pixels, (HEIGHT, WIDTH, 3)), -1, 0)
        np.testing.assert_array_equal(found[:, there], levels[:, there] * 17)
