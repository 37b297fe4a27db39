"""Writes PNGs in a tenth of the time that Pillow takes, which tries all filters on each row."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_COLOUR_TYPES: Final = {1: 0, 2: 4, 3: 2, 4: 6}  # by bands: grey, grey and alpha, RGB, RGBA
_NONE, _AVERAGE = 0, 3  # filters
_ROWS: Final = 256  # packed at a time, so that no second copy of a large picture is made


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a picture as a PNG, without loss (see `png_parts`)."""
    return b"".join(png_parts(pixels))


def png_parts(pixels: NDArray[np.uint8]) -> Iterator[bytes]:
    """Yield the pieces of a PNG (https://www.w3.org/TR/png-3/) in the order in which they are written.

    What a network draws has hardly a sequence of bytes twice: all rows get the filter `Average`, and nothing
    but Huffman codes, or runs of one byte where there are any. On such pictures that is smaller than Pillow's
    default, and ten times as fast. Pictures of flat colours are left as they are for zlib to search.

    Args:
        pixels: uint8 (h, w, bands), bands 1 to 4; the second and the fourth are alpha.

    Raises:
        TypeError: The array is not uint8: its bytes would be taken for other pixels.
    """
    check_bytes(pixels)
    height, width, bands = pixels.shape
    alike = float((pixels[::8, 1:] == pixels[::8, :-1]).all(axis=-1).mean()) if width > 1 else 0.0
    flat = alike > 0.5
    strategy = zlib.Z_RLE if alike > 0.2 else zlib.Z_HUFFMAN_ONLY
    packer = zlib.compressobj(3) if flat else zlib.compressobj(1, memLevel=9, strategy=strategy)
    yield b"\x89PNG\r\n\x1a\n"
    yield _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[bands], 0, 0, 0))
    last = np.zeros((1, width * bands), np.uint8)  # above the picture is 0
    for top in range(0, height, _ROWS):
        part = pixels[top : top + _ROWS].reshape(-1, width * bands)
        rows = np.insert(part, 0, _NONE, axis=1) if flat else _averaged(part, last, bands)
        yield _chunk(b"IDAT", packer.compress(rows.data))
        last = part[-1:]
    yield _chunk(b"IDAT", packer.flush())
    yield _chunk(b"IEND", b"")


def check_bytes(pixels: NDArray[Any]) -> None:
    """Refuse an array whose bytes are not its pixels.

    Raises:
        TypeError: It is not uint8.
    """
    if pixels.dtype != np.uint8:
        raise TypeError(f"only uint8 pixels can be written, not {pixels.dtype}")


def _averaged(part: NDArray[np.uint8], last: NDArray[np.uint8], bands: int) -> NDArray[np.uint8]:
    """Return each row as the filter's name and the differences from the mean of left and above."""
    above = np.concatenate([last, part[:-1]])
    left = np.zeros_like(part)
    left[:, bands:] = part[:, :-bands]
    rows = np.empty((len(part), 1 + part.shape[1]), np.uint8)
    rows[:, 0] = _AVERAGE
    # floor((left + above) / 2), in eight bits
    np.subtract(part, (left & above) + ((left ^ above) >> 1), out=rows[:, 1:])
    return rows


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
