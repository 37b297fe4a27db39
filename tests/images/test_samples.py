"""What a stored number means: one picture in many sample types reads as one array, by Pillow and GDAL."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("rasterio", reason="the geo extra is not installed")

import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from sat2map.errors import ImageError, MissingExtraError
from sat2map.geo.gdal import gdal_env
from sat2map.geo.read import open_raster
from sat2map.images.levels import measure_limits, to_8_bits
from sat2map.images.pixels import read_image, read_size

SIDE = 24
GEO = {"crs": "EPSG:32633", "transform": Affine(2.1, 0, 4e5, 0, -2.1, 5.8e6)}


def steps(*bands_of: int) -> NDArray[np.uint8]:
    """Draw bands of numbers from 0 to 15, in steps."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack([(x // 2 * k + y // 3) % 16 for k in bands_of]).astype(np.uint8)


def write(path: Path, values: NDArray[Any], **options: Any) -> Path:
    """Write (bands, h, w) with rasterio."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        how = {"dtype": values.dtype.name, "count": len(values), "height": SIDE, "width": SIDE, **options}
        with rasterio.open(path, "w", driver="GTiff", **how) as dataset:
            dataset.write(values)
    return path


def as_raster(path: Path, count: int) -> NDArray[np.uint8]:
    """Read as `translate` reads a raster: (h, w, bands)."""
    with gdal_env(), open_raster(path, bands=None, count=count) as raster:
        return np.moveaxis(raster.read(raster.grid.whole), 0, -1)


GREY, RGB = steps(1), steps(1, 2, 3)
LINE = GREY // 8
FORMS: dict[str, tuple[NDArray[np.uint8], dict[str, Any], NDArray[np.uint8]]] = {
    # name: stored numbers, how they are stored, and the levels that they mean
    "grey 8": (GREY * 17, {}, GREY * 17),
    "grey 4": (GREY, {"nbits": 4}, GREY * 17),
    "grey 2": (GREY // 4, {"nbits": 2}, GREY // 4 * 85),
    "grey 1": (LINE, {"nbits": 1}, LINE * 255),
    "grey 5": (GREY * 2, {"nbits": 5}, np.rint(GREY * 2.0 * 255 / 31).astype(np.uint8)),
    "white is zero 8": (255 - GREY * 17, {"photometric": "MINISWHITE"}, GREY * 17),
    "white is zero 4": (15 - GREY, {"nbits": 4, "photometric": "MINISWHITE"}, GREY * 17),
    "white is zero 1": (1 - LINE, {"nbits": 1, "photometric": "MINISWHITE"}, LINE * 255),
    "rgb 8": (RGB * 17, {"photometric": "RGB"}, RGB * 17),
    "rgb 4": (RGB, {"nbits": 4, "photometric": "RGB"}, RGB * 17),
    "rgb 8 in planes": (RGB * 17, {"photometric": "RGB", "interleave": "BAND"}, RGB * 17),
    "rgb 8 lzw tiled": (RGB * 17, {"photometric": "RGB", "compress": "LZW", "tiled": True}, RGB * 17),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", [{}, GEO], ids=["plain", "georeferenced"])
def test_numbers_of_up_to_8_bits_read_as_their_levels_by_both_routes(
    tmp_path: Path, form: str, place: dict[str, Any]
) -> None:
    stored, how, levels = FORMS[form]
    path = write(tmp_path / "x.tif", stored, **how, **place)
    expected = np.moveaxis(levels, 0, -1)
    np.testing.assert_array_equal(read_image(path).pixels, expected)
    np.testing.assert_array_equal(as_raster(path, len(levels)), expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_cmyk_becomes_rgb_by_both_routes(tmp_path: Path, bits: int) -> None:
    full = 2**bits - 1
    inks = np.concatenate([steps(1, 2, 3), steps(5) // 2]).astype(np.uint16) * (full // 15)
    path = write(tmp_path / "x.tif", inks.astype(f"uint{bits}"), photometric="CMYK", **GEO)
    light = (full - inks[:3].astype(float)) * (full - inks[3]) / full
    if bits == 16:
        limits, _ = measure_limits(np.rint(light).astype(np.uint16), None, path)
        expected = to_8_bits(np.rint(light), limits)
    else:
        expected = np.rint(light)
    for found in (read_image(path).pixels, as_raster(path, 3)):
        assert np.abs(np.moveaxis(found, -1, 0).astype(int) - expected).max() <= 1


def test_ycbcr_becomes_rgb_by_both_routes(tmp_path: Path) -> None:
    rgb = np.moveaxis(RGB * 17, 0, -1)
    Image.fromarray(rgb).convert("YCbCr").save(tmp_path / "x.tif")
    for found in (read_image(tmp_path / "x.tif").pixels, as_raster(tmp_path / "x.tif", 3)):
        assert np.abs(found.astype(int) - rgb).max() <= 4  # chroma is rounded to whole levels


@pytest.mark.parametrize("suffix", [".png", ".tif", ".gif", ".bmp"])
def test_a_palette_becomes_its_colours(tmp_path: Path, suffix: str) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (16, 3), dtype=np.uint8)
    image = Image.new("P", (SIDE, SIDE))
    image.putdata(GREY[0].ravel().tolist())
    image.putpalette(colours.ravel().tolist())
    image.save(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"x{suffix}").pixels, colours[GREY[0]])


def test_a_palette_of_a_raster_becomes_its_colours(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (16, 3), dtype=np.uint8)
    path = write(tmp_path / "x.tif", GREY, photometric="PALETTE", **GEO)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {n: (*map(int, colour), 255) for n, colour in enumerate(colours)})
    for found in (read_image(path).pixels, as_raster(path, 3)):
        np.testing.assert_array_equal(found, colours[GREY[0]])


WIDE = ["int8", "int16", "uint16", "int32", "uint32", "float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", [*WIDE[:5], *WIDE[6:]])
@pytest.mark.parametrize("place", [{}, GEO], ids=["plain", "georeferenced"])
def test_wider_numbers_are_scaled_by_their_percentiles_by_both_routes(
    tmp_path: Path, dtype: str, place: dict[str, Any]
) -> None:
    values = (RGB.astype(float) * (7 if dtype == "int8" else 900)).astype(dtype)
    path = write(tmp_path / "x.tif", values, photometric="RGB", **place)
    low, high = np.percentile(values.reshape(3, -1).astype(float), (2, 98), axis=1)
    expected = np.rint(np.clip((np.moveaxis(values, 0, -1).astype(float) - low) / (high - low), 0, 1) * 255)
    picture = read_image(path)
    np.testing.assert_array_equal(picture.pixels, expected)
    np.testing.assert_array_equal(as_raster(path, 3), expected)
    assert any(dtype in note and "percentiles" in note for note in picture.notes)


@pytest.mark.parametrize("largest", [1e300, 1.7e308])
def test_numbers_beyond_float32_are_scaled_all_the_same(tmp_path: Path, largest: float) -> None:
    values = RGB / 15 * 2 * largest - largest if largest < 1e308 else (RGB / 15 - 0.5) * largest
    path = write(tmp_path / "x.tif", values, photometric="RGB", **GEO)
    small = write(tmp_path / "small.tif", values / largest, photometric="RGB", **GEO)
    np.testing.assert_array_equal(as_raster(path, 3), as_raster(small, 3))
    np.testing.assert_array_equal(read_image(path).pixels, as_raster(small, 3))


def test_small_steps_of_large_integers_are_kept() -> None:
    values = 2**31 + GREY.astype(np.uint32)
    np.testing.assert_array_equal(to_8_bits(values, ((2**31, 2**31 + 15),)), GREY * 17)


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_complex_numbers_are_refused_by_both_routes(tmp_path: Path, dtype: str) -> None:
    path = write(tmp_path / "x.tif", GREY.astype("complex64"), dtype=dtype, **GEO)
    for read in (read_image, lambda path: as_raster(path, 3)):
        with pytest.raises(ImageError, match="complex numbers"):
            read(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_stored_turned_stands_upright(
    tmp_path: Path, orientation: int, dtype: str, compression: str | None
) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    upright[0, :3] = 0, 255, 255
    turns: dict[int, Callable[[Any], Any]] = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose,
        6: np.rot90, 7: lambda a: np.rot90(a, 2).T, 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    stored = turns[orientation](upright)
    values = np.ascontiguousarray(stored.astype(dtype) * (257 if dtype == "uint16" else 1))
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(
        tmp_path / "x.tif", values, photometric="minisblack", compression=compression, extratags=tags
    )
    found = read_image(tmp_path / "x.tif").pixels[..., 0]
    assert read_size(tmp_path / "x.tif") == (4, 6)
    if dtype == "uint16":
        limits = measure_limits(upright[None].astype(np.uint16) * 257, None, "x")[0]
        upright = to_8_bits(upright[None].astype(np.uint16) * 257, limits)[0]
    np.testing.assert_array_equal(found, upright)


def test_a_png_of_16_bit_colours_is_scaled_by_its_percentiles(tmp_path: Path) -> None:
    values = RGB.astype(np.uint16) * 4000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            tmp_path / "x.png", "w", driver="PNG", count=3, height=SIDE, width=SIDE, dtype="uint16"
        ) as dataset:
            dataset.write(values)
    limits = measure_limits(values, None, "x")[0]
    np.testing.assert_array_equal(
        read_image(tmp_path / "x.png").pixels, np.moveaxis(to_8_bits(values, limits), 0, -1)
    )


def test_without_gdal_what_pillow_would_shorten_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.tif", RGB.astype(np.uint16) * 4000, photometric="RGB")
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    with pytest.raises(MissingExtraError, match="needs the 'geo' extra"):
        read_image(path)


# bands


def test_near_infrared_is_no_mask_and_no_colour(tmp_path: Path) -> None:
    values = np.concatenate([RGB * 17, np.zeros((1, SIDE, SIDE), np.uint8)])
    path = write(tmp_path / "x.tif", values, photometric="RGB", alpha="NO", **GEO)
    picture = read_image(path)
    np.testing.assert_array_equal(picture.pixels, np.moveaxis(RGB * 17, 0, -1))
    assert picture.alpha is None
    with open_raster(path, bands=None, count=3) as raster:
        assert (raster.bands, raster.mask_kind) == ((1, 2, 3), "none")


@pytest.mark.parametrize(
    ("names", "bands"),
    [
        (("B02", "B03", "B04", "B08", "B11"), (3, 2, 1)),
        (("B2", "B3", "B4", "B8", "B8A"), (3, 2, 1)),
        (("Blue", "Green", "Red", "Red edge", "NIR"), (3, 2, 1)),
        (("nir", "red_edge", "red", "green", "blue"), (3, 4, 5)),
    ],
    ids=lambda value: "-".join(map(str, value)),
)
def test_red_is_found_by_its_description(
    tmp_path: Path, names: tuple[str, ...], bands: tuple[int, ...]
) -> None:
    path = write(tmp_path / "x.tif", steps(1, 2, 3, 5, 7).astype(np.uint16), **GEO)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = names
    with open_raster(path, bands=None, count=3) as raster:
        assert raster.bands == bands
        assert not any("does not say" in note for note in raster.notes)


@pytest.mark.parametrize("names", [(None,) * 5, ("B1", "B2", "B3", "B4", "B5")], ids=["none", "ambiguous"])
def test_bands_of_unknown_meaning_are_named_in_a_note(tmp_path: Path, names: tuple[str | None, ...]) -> None:
    path = write(tmp_path / "x.tif", steps(1, 2, 3, 5, 7).astype(np.uint16), photometric="MINISBLACK", **GEO)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = names
    with open_raster(path, bands=None, count=3) as raster:
        assert raster.bands == (1, 2, 3)
        assert any("does not say" in note and "bands 1, 2, 3 were used" in note for note in raster.notes)


def test_bands_in_another_order_are_read_as_red_green_and_blue(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", RGB * 17, photometric="MINISBLACK", **GEO)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    np.testing.assert_array_equal(as_raster(path, 3), np.moveaxis(RGB[::-1] * 17, 0, -1))


@pytest.mark.parametrize("read", [read_image, lambda path: as_raster(path, 3)], ids=["image", "raster"])
def test_lab_colours_are_refused_by_both_routes(tmp_path: Path, read: Callable[[Path], object]) -> None:
    Image.new("LAB", (8, 8)).save(tmp_path / "x.tif")
    with pytest.raises(ImageError, match=r"L\*a\*b\* colours: convert it to RGB first"):
        read(tmp_path / "x.tif")


# pages


def test_the_first_of_two_pages_is_read_with_a_note(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (90, 180)]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    picture = read_image(tmp_path / "x.tif")
    assert (picture.pixels == 90).all()
    assert "holds 2 images" in picture.notes[0]
    second = read_image(tmp_path / "x.tif", page=2)
    assert (second.pixels == 180).all()
    assert not second.notes
    with pytest.raises(ImageError, match="has no page 3: it has 2"):
        read_image(tmp_path / "x.tif", page=3)


def test_pages_are_counted_without_overviews_and_read_by_gdal_too(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        for level in (1, 2):
            full = np.full((32, 32, 3), level * 1000, np.uint16)
            full[:, 16:] = level * 1000 + 500
            file.write(full, photometric="rgb", metadata=None)
            file.write(full[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    picture = read_image(tmp_path / "x.tif", page=2)
    assert picture.pixels.shape == (32, 32, 3)
    assert "2000 to 2500" in picture.notes[-1]
    assert "holds 2 images" in read_image(tmp_path / "x.tif").notes[0]


def test_a_page_of_a_file_in_memory_is_read_by_gdal_too(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        for level in (1000, 2000):
            file.write(np.full((8, 8, 3), level, np.uint16), photometric="rgb")
    content: Any = io.BytesIO((tmp_path / "x.tif").read_bytes())
    picture = read_image(content, page=2, scale=(0, 65535))
    np.testing.assert_array_equal(picture.pixels, np.full((8, 8, 3), round(2000 / 65535 * 255)))


@pytest.mark.parametrize(("name", "options"), [("x.gif", {}), ("x.png", {}), ("x.webp", {"lossless": True})])
def test_the_first_of_several_frames_is_read_with_a_note(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (90, 180, 20)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
    picture = read_image(tmp_path / name)
    assert (picture.pixels == 90).all()
    assert "holds 3 images" in picture.notes[0]


# size


@pytest.mark.parametrize(("width", "height"), [(3_400_000, 1), (14_000, 14_000)])
def test_an_image_too_large_for_memory_is_refused_before_it_is_decoded(
    tmp_path: Path, width: int, height: int
) -> None:
    Image.new("1", (width, height)).save(tmp_path / "x.png")
    for read in (read_image, read_size):
        with pytest.raises(ImageError, match="too large to be decoded as one image"):
            read(tmp_path / "x.png")
