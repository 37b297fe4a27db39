"""Reads the header of a TIFF: what its samples are, which way up it is stored, and its pages.

Pillow opens some TIFFs with less than they hold (16-bit colours as their high bytes, no internal mask), and
others not at all. The header says which, without decoding a pixel. Tags: TIFF 6.0, sections 8 and 18.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from typing import IO, Any, Final

from PIL.TiffImagePlugin import ImageFileDirectory_v2

MAX_PAGES: Final = 4096  # directories that are looked at; a file with a loop has no last one

_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
_BIG_MOTOROLA = b"MM\0+"  # a BigTIFF in Motorola's byte order
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, RPCCoefficient.
_GEO_TAGS: Final = (33550, 33922, 34264, 34735, 50844)
_GDAL_NODATA: Final = 42113
_ASSOCIATED_ALPHA: Final = 1  # of ExtraSamples
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6


DAMAGE: Final = (LookupError, ValueError, TypeError, SyntaxError, EOFError, OverflowError, struct.error)
"""What Pillow was seen to raise at damaged headers, beside OSError."""


class TiffError(Exception):
    """The header cannot be read; the text says why."""


@dataclass(frozen=True)
class TiffHeader:
    """What the directories of a TIFF say.

    Attributes:
        width: Columns, as they are stored.
        height: Rows, as they are stored.
        samples: Samples per pixel, alpha and other extra ones included.
        bits: Bits of the widest sample.
        unsigned: Whether samples are unsigned integers.
        photometric: Tag 262: 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 CMYK, 6 YCbCr, 8 L*a*b*.
        orientation: 1 to 8, as in EXIF; 1 is upright.
        pages: Images in the file; overviews and masks are not counted.
        masked: Whether the first image has an internal mask.
        georeferenced: Whether it has GeoTIFF tags.
        nodata: Whether it has GDAL's nodata tag.
        planar: Whether the bands are stored apart.
        pillow_opens: Whether Pillow knows its byte order; not that of a big-endian BigTIFF.
        premultiplied: Whether colours are stored multiplied by an alpha band, the first of the extra ones.
    """

    width: int
    height: int
    samples: int
    bits: int
    unsigned: bool
    photometric: int
    orientation: int
    pages: int
    masked: bool
    georeferenced: bool
    nodata: bool
    planar: bool
    pillow_opens: bool
    premultiplied: bool = False

    @property
    def pillow_reads_all(self) -> bool:
        """Whether Pillow decodes every sample that matters, without loss."""
        if self.masked or self.nodata or not self.unsigned or not self.pillow_opens:
            return False
        if self.photometric == _WHITE_IS_ZERO and self.planar:
            return False  # of bands stored apart it forgets to invert them
        if self.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
            return self.samples <= 2 and (self.bits in (1, 2, 4, 8) or (self.bits, self.samples) == (16, 1))
        if self.photometric == _PALETTE:
            return self.samples <= 2 and self.bits in (1, 2, 4, 8)
        return self.bits == 8 and self.photometric in (_RGB, _SEPARATED, _YCBCR)


def is_tiff(head: bytes) -> bool:
    """Whether a file that starts with these 4 bytes is a TIFF."""
    return head[:4] in _MAGIC


def read_tiff_header(file: IO[bytes]) -> TiffHeader:
    """Read the header of an open TIFF.

    Raises:
        TiffError: It is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of tags that Pillow skips; we miss those we need
            directories = _directories(file)
        file.seek(0)
        return _describe(directories, readable=file.read(4) != _BIG_MOTOROLA)
    except DAMAGE as error:
        raise TiffError(f"its header is damaged ({type(error).__name__})") from None
    except OSError as error:
        raise TiffError(f"its header is damaged ({error})") from None


def page_directories(file: IO[bytes]) -> list[int]:
    """Return the number of each page's directory, from 1: overviews and masks have directories too.

    Raises:
        TiffError: The header is damaged.
    """
    kinds = [_number(directory.get(254, 0)) for directory in _directories(file)]
    return [number for number, kind in enumerate(kinds, 1) if not kind & (_REDUCED | _MASK)]


def _directories(file: IO[bytes]) -> list[dict[int, Any]]:
    file.seek(0)
    head = file.read(8)
    if not is_tiff(head):
        raise TiffError("it is no TIFF")
    if head[2:3] == b"+" or head[3:4] == b"+":
        head += file.read(8)
    offset, seen, found = _directory(head).next, set[int](), list[dict[int, Any]]()
    while offset and offset not in seen and len(found) < MAX_PAGES:
        seen.add(offset)
        file.seek(offset)
        directory = _directory(head)
        directory.load(file)
        wanted = (254, 256, 257, 258, 262, 274, 277, 284, 338, 339, _GDAL_NODATA, *_GEO_TAGS)
        found.append({tag: directory[tag] for tag in wanted if tag in directory})
        offset = directory.next
    if not found:
        raise TiffError("it holds no image")
    return found


def _directory(head: bytes) -> ImageFileDirectory_v2:
    """Return a directory to load, with the offset of the first one in `next`."""
    if head[:4] != _BIG_MOTOROLA:
        return ImageFileDirectory_v2(head)
    directory = ImageFileDirectory_v2(head[:8])  # Pillow takes it for a classic TIFF
    directory._bigtiff = True
    (directory.next,) = struct.unpack(">Q", head[8:16])
    return directory


def _describe(directories: list[dict[int, Any]], *, readable: bool) -> TiffHeader:
    first = directories[0]
    kinds = [_number(directory.get(254, 0)) for directory in directories]
    bits = [int(value) for value in _sequence(first.get(258, 1))]
    formats = {int(value) for value in _sequence(first.get(339, 1))}
    orientation = _number(first.get(274, 1))
    return TiffHeader(
        width=_number(first[256]),
        height=_number(first[257]),
        samples=_number(first.get(277, len(bits))),
        bits=max(bits),
        unsigned=formats <= {1, 4},
        photometric=_number(first.get(262, _BLACK_IS_ZERO)),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        pages=max(1, sum(not kind & (_REDUCED | _MASK) for kind in kinds)),
        masked=_first_has_mask(kinds),
        georeferenced=any(tag in first for tag in _GEO_TAGS),
        nodata=_GDAL_NODATA in first,
        planar=_number(first.get(284, 1)) == 2,
        pillow_opens=readable,
        premultiplied=_ASSOCIATED_ALPHA in _sequence(first.get(338, 0))[:1],
    )


def _first_has_mask(kinds: list[int]) -> bool:
    """Whether a mask comes before the second image."""
    for kind in kinds[1:]:
        if kind & _MASK:
            return True
        if not kind & _REDUCED:
            return False
    return False


def _sequence(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _number(value: Any) -> int:
    return int(_sequence(value)[0])
