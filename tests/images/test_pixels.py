"""Tests of sat2map.images.pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import io as skimage_io

from sat2map.errors import ImageError
from sat2map.images import pixels
from sat2map.images.pixels import read_image, read_size, resize, with_bands, write_image

LOSSLESS = (".png", ".webp", ".tif")


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def write_png(path: Path, colour_type: int, depth: int, width: int, rows: bytes) -> Path:
    """Write a PNG by hand; Pillow cannot write 16-bit colours."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    stride = width * samples * depth // 8
    height = len(rows) // stride
    lines = b"".join(b"\0" + rows[i * stride : (i + 1) * stride] for i in range(height))
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


# ranges


def test_all_256_levels_survive_the_way_to_the_networks_range_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(4, 64, 1)
    np.testing.assert_array_equal(pixels.from_unit(pixels.to_unit(levels)), levels)


def test_all_256_levels_survive_the_way_through_tensors() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(pixels.tensor_from_unit(pixels.tensor_to_unit(levels)), levels)


def test_arrays_and_tensors_take_the_same_way() -> None:
    levels = noise(8, 5, 3)
    unit = torch.from_numpy(pixels.to_unit(levels))
    assert torch.equal(unit, pixels.tensor_to_unit(torch.from_numpy(levels).permute(2, 0, 1)))
    values = torch.rand(3, 20, 20) * 2.4 - 1.2
    back = torch.from_numpy(pixels.from_unit(values.numpy()))
    assert torch.equal(back.permute(2, 0, 1), pixels.tensor_from_unit(values))


def test_black_is_minus_one_and_white_is_one() -> None:
    ends = np.array([[[0, 255]]], dtype=np.uint8)
    unit = pixels.to_unit(ends)
    assert unit.dtype == np.float32
    np.testing.assert_array_equal(unit, np.array([[[-1]], [[1]]]))


def test_values_outside_the_range_are_clipped_and_not_wrapped() -> None:
    values = np.array([-1.5, 1.5], dtype=np.float32).reshape(2, 1, 1)
    np.testing.assert_array_equal(pixels.from_unit(values), [[[0, 255]]])


def test_bands_move_to_the_front_of_the_picture_and_back() -> None:
    batch = noise(2, 4, 5, 3)
    assert pixels.to_unit(batch).shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(pixels.from_unit(pixels.to_unit(batch)), batch)


# reading


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_a_lossless_file_gives_the_pixels_that_were_written(tmp_path: Path, suffix: str) -> None:
    image = noise(7, 5, 3)
    write_image(tmp_path / f"x{suffix}", image)
    picture = read_image(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(picture.pixels, image)
    assert picture.alpha is None


def test_a_jpeg_is_decoded_as_another_reader_does(tmp_path: Path) -> None:
    write_image(tmp_path / "x.jpg", noise(16, 24, 3))
    np.testing.assert_array_equal(
        read_image(tmp_path / "x.jpg").pixels, skimage_io.imread(tmp_path / "x.jpg")
    )


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_grey_has_one_band(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"x{suffix}", noise(8, 6, 1))
    assert read_image(tmp_path / f"x{suffix}").pixels.shape == (8, 6, 1)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_alpha_and_the_colours_below_it_are_kept(tmp_path: Path, suffix: str) -> None:
    image, alpha = noise(6, 8, 3), noise(6, 8) // 128 * 255
    write_image(tmp_path / f"x{suffix}", image, alpha)
    picture = read_image(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(picture.pixels, image)
    np.testing.assert_array_equal(picture.alpha, alpha)


def test_alpha_of_grey_is_kept(tmp_path: Path) -> None:
    image, alpha = noise(6, 8, 1), noise(6, 8)
    write_image(tmp_path / "x.png", image, alpha)
    picture = read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(picture.pixels, image)
    np.testing.assert_array_equal(picture.alpha, alpha)


def test_a_transparent_colour_of_a_png_becomes_alpha(tmp_path: Path) -> None:
    image = np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "x.png", transparency=(4, 5, 6))
    picture = read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(picture.pixels, image)
    np.testing.assert_array_equal(picture.alpha, [[255, 0]])


# The stored pixels of an image whose upright form is `a`, by EXIF orientation, from the EXIF 2.3 table.
STORED: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", LOSSLESS)
def test_pictures_stand_upright_as_their_exif_says(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = noise(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    stored.save(tmp_path / f"x{suffix}", exif=exif, **options)
    np.testing.assert_array_equal(read_image(tmp_path / f"x{suffix}").pixels, upright)
    assert read_size(tmp_path / f"x{suffix}") == (4, 6)


def test_damage_elsewhere_in_the_exif_does_no_harm(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 1.5  # orientation, and a resolution whose type is then made a text's
    Image.fromarray(noise(8, 24, 3)).save(tmp_path / "x.jpg", exif=exif)
    content = (tmp_path / "x.jpg").read_bytes()
    fraction, text = struct.pack(">HH", 0x011A, 5), struct.pack(">HH", 0x011A, 2)
    assert fraction in content
    (tmp_path / "x.jpg").write_bytes(content.replace(fraction, text))
    assert read_image(tmp_path / "x.jpg").pixels.shape == (24, 8, 3)


def test_the_size_of_a_png_is_read_without_its_pixels(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", noise(300, 200, 3))
    cut = tmp_path / "cut.png"
    cut.write_bytes((tmp_path / "x.png").read_bytes()[:2000])
    assert read_size(cut) == (300, 200)


# refusals


def refused(path: Path, why: str) -> None:
    """Check that reading is refused in one sentence that names the file."""
    with pytest.raises(ImageError, match=why) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "no.png", "does not exist")
    with pytest.raises(ImageError, match="does not exist"):
        read_size(tmp_path / "no.png")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "cannot be read: Is a directory")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"whole{suffix}", noise(64, 64, 3))
    content = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(content[: len(content) // 2])
    refused(tmp_path / f"cut{suffix}", "fetch or export it again|is not an image that can be read")


def test_a_text_file_with_an_image_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("<html>404 not found</html>")
    refused(tmp_path / "x.png", "is not an image that can be read")


def test_formats_that_we_do_not_read_are_refused_whatever_their_suffix(tmp_path: Path) -> None:
    Image.fromarray(noise(4, 4, 3)).save(tmp_path / "x.png", format="ppm")
    refused(tmp_path / "x.png", "is not an image that can be read")


def test_an_image_of_hostile_size_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "x.png", 2, 8, 1, bytes(3))
    content = bytearray((tmp_path / "x.png").read_bytes())
    content[16:24] = struct.pack(">II", 1_000_000, 1_000_000)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    (tmp_path / "x.png").write_bytes(content)
    refused(tmp_path / "x.png", "too large")


@pytest.mark.parametrize("colour_type", [0, 2, 4, 6], ids=["grey", "rgb", "grey-alpha", "rgb-alpha"])
def test_the_same_png_with_8_bits_is_read(tmp_path: Path, colour_type: int) -> None:
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    path = write_png(tmp_path / "x.png", colour_type, 8, 3, bytes(range(6)) * samples)
    assert read_image(path).pixels.shape == (2, 3, 3 if samples > 2 else 1)


# bands and sizes


def test_grey_becomes_rgb_by_repeating(tmp_path: Path) -> None:
    grey = noise(3, 4, 1)
    rgb = with_bands(grey, 3, tmp_path)
    np.testing.assert_array_equal(rgb, np.concatenate([grey, grey, grey], axis=2))


def test_rgb_never_becomes_grey_by_itself(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"x\.png has 3 bands where 1 are needed"):
        with_bands(noise(3, 4, 3), 1, tmp_path / "x.png")


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_every_band_is_resized_as_it_would_be_alone(bands: int) -> None:
    image = noise(12, 9, bands)
    resized = resize(image, 6, 15)
    assert resized.shape == (6, 15, bands)
    for band in range(bands):
        alone = Image.fromarray(image[..., band]).resize((15, 6), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(resized[..., band], np.asarray(alone))


# writing


def test_a_jpeg_with_alpha_is_refused_and_not_written(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="JPEG cannot carry the transparency"):
        write_image(tmp_path / "x.jpg", noise(4, 4, 3), noise(4, 4))
    assert not (tmp_path / "x.jpg").exists()


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"use one of \.jpg, \.jpeg, \.png"):
        write_image(tmp_path / "x.gif", noise(4, 4, 3))


@pytest.mark.parametrize(("suffix", "side"), [(".webp", 16_384), (".jpg", 65_501)])
def test_a_size_that_the_format_cannot_hold_is_refused(tmp_path: Path, suffix: str, side: int) -> None:
    with pytest.raises(ImageError, match=rf"holds at most {side - 1} px a side"):
        write_image(tmp_path / f"x{suffix}", np.zeros((1, side, 3), dtype=np.uint8))
    write_image(tmp_path / f"x{suffix}", np.zeros((1, side - 1, 3), dtype=np.uint8))
    assert read_size(tmp_path / f"x{suffix}") == (1, side - 1)
