"""Owns taking in what strangers send: bounded bodies, few formats, sizes known before decoding."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Literal, cast

import anyio
from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from sat2map.images.pixels import Picture, read_image, read_size
from sat2map.serve.http_errors import (
    BadRequestError,
    BodyTooLargeError,
    TooManyPixelsError,
    UnsupportedFormatError,
    UploadTooSlowError,
)

Format = Literal["png", "jpeg", "webp", "tiff"]

# The first bytes of all that is opened. Anything else (SVG, VRT, PDF, ...) reaches no decoder at all.
_MAGIC: dict[bytes, Format] = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
    b"II+\x00": "tiff",  # BigTIFF
    b"MM\x00+": "tiff",
}


class _Upload(io.BytesIO):
    """Bytes that call themselves what their sender calls them, where an error would name a path."""

    def __str__(self) -> str:
        return "the image"


class _InMemoryParser(MultiPartParser):
    # The body is bounded already: spilling it to disk would only put strangers' images there.
    spool_max_size = 2**62


def recognise(head: bytes) -> Format:
    """Tell an image's format by its first 16 bytes.

    Raises:
        UnsupportedFormatError: It is none that is opened here.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    raise UnsupportedFormatError(
        "this is not an image of a kind that is opened here: send PNG, JPEG, WebP or TIFF"
    )


def decode(body: bytes, *, pixels: int) -> Picture:
    """Decode an image of a known format and a bounded size.

    Args:
        body: The file.
        pixels: The most it may have; more is refused before anything is decoded.

    Raises:
        UnsupportedFormatError: It is of another format.
        TooManyPixelsError: It is too large.
        ImageError: It is damaged, or of a kind that cannot be read without damage.
    """
    recognise(body[:16])
    upload = cast("Path", _Upload(body))  # Pillow takes either, and the errors want a name only
    height, width = read_size(upload)
    check_size(height, width, pixels)
    return read_image(upload)


def check_size(height: int, width: int, pixels: int) -> None:
    """Refuse an image of more than `pixels`.

    Raises:
        TooManyPixelsError: It has more.
    """
    if height * width > pixels:
        raise TooManyPixelsError(
            f"the image has {width}×{height} px: at most {pixels / 1e6:g} million pixels are taken this way"
        )


async def read_body(request: Request, *, limit: int, seconds: float) -> bytes:
    """Read the image in a request: its whole body, or the one file of a multipart form.

    Raises:
        BodyTooLargeError: It has more than `limit` bytes.
        UploadTooSlowError: It has not arrived after `seconds`.
        BadRequestError: It is empty, or a form without exactly one file.
    """
    with upload_deadline(seconds):
        body = b"".join([part async for part in stream_body(request, limit=limit)])
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        body = await _only_file(request.headers, body)
    if not body:
        raise BadRequestError("the request has no body: send the bytes of an image")
    return body


@contextlib.contextmanager
def upload_deadline(seconds: float) -> Iterator[None]:
    """Bound the time that reading a body takes.

    Raises:
        UploadTooSlowError: It has not arrived after `seconds`.
    """
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        raise UploadTooSlowError(
            f"the upload had not arrived after {seconds:g} s: try a smaller one"
        ) from None


async def stream_body(request: Request, *, limit: int) -> AsyncIterator[bytes]:
    """Yield a body's parts as they arrive.

    Raises:
        BodyTooLargeError: It has more than `limit` bytes.
    """
    declared = request.headers.get("content-length", "0")
    too_large = BodyTooLargeError(
        f"the upload has more than {limit / 2**20:g} MiB, the most that is taken here"
    )
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large
        yield part


async def _only_file(headers: Headers, body: bytes) -> bytes:
    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await _InMemoryParser(headers, once(), max_files=1, max_fields=8, max_part_size=1024).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise BadRequestError(f"the form cannot be read: {getattr(error, 'message', error)}") from None
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise BadRequestError("the form holds no file: send one image, under any field name")
        return await files[0].read()
    finally:
        await form.close()
