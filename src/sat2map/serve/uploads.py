"""Uploads: bounded bodies, a minimum speed, and few formats that are known by their first bytes."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, Literal

import anyio
from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from sat2map.serve.http_errors import (
    BadRequestError,
    BodyTooLargeError,
    TooManyPixelsError,
    UnsupportedFormatError,
    UploadTooSlowError,
)
from sat2map.serve.memory import Reserve
from sat2map.serve.serve_settings import MIB

Format = Literal["png", "jpeg", "webp", "tiff"]
MAX_SIDE: Final = 65_500  # px; JPEG's limit; longer ones are hardly photos
MIN_BYTES_PER_SECOND: Final = 1024  # slower uploads are ended; Apache's mod_reqtimeout has 500
GRACE_SECONDS: Final = 8.0  # before the slowest speed counts

# The first bytes of all supported formats. Anything else (SVG, VRT, PDF, JPEG 2000) reaches no decoder.
_MAGIC: dict[bytes, Format] = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
    b"II+\x00": "tiff",  # BigTIFF
    b"MM\x00+": "tiff",
}


class _InMemoryParser(MultiPartParser):
    # The body is in memory and bounded already.
    spool_max_size = 2**62


def sniff_format(head: bytes) -> Format:
    """Return the format of an image file by its first 16 bytes.

    Raises:
        UnsupportedFormatError: It is of none of the supported formats.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    raise UnsupportedFormatError("this is not a supported image: send PNG, JPEG, WebP or TIFF")


def check_size(height: int, width: int, pixels: int) -> None:
    """Check an image's size before anything is decoded.

    Raises:
        TooManyPixelsError: It has more than `pixels`, or a side of more than `MAX_SIDE`.
    """
    if height * width > pixels:
        raise TooManyPixelsError(
            f"the image has {width}×{height} px: at most {pixels / 1e6:g} million pixels are accepted here"
        )
    if max(height, width) > MAX_SIDE:
        raise TooManyPixelsError(f"the image has {width}×{height} px: a side may have {MAX_SIDE} px at most")


async def read_body(request: Request, reserve: Reserve, *, limit: int, seconds: float) -> bytes:
    """Return the image in a request: its whole body, or the one file of a multipart form.

    The memory of what arrives is reserved; it has `limit` bytes and `seconds` at most.

    Raises:
        BodyTooLargeError: It has more than `limit` bytes.
        UploadTooSlowError: It arrives too slowly.
        BusyError: The memory for uploads is in use.
        BadRequestError: It is empty, or a form without exactly one file.
    """
    parts = []
    async for part in stream_body(request, limit=limit, seconds=seconds):
        reserve(len(part))
        parts.append(part)
    body = b"".join(parts)
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        body = await _only_file(request.headers, body)
    if not body:
        raise BadRequestError("the request has no body: send the bytes of an image")
    return body


async def stream_body(request: Request, *, limit: int, seconds: float) -> AsyncIterator[bytes]:
    """Yield the parts of a body as they arrive.

    Raises:
        BodyTooLargeError: It has more than `limit` bytes.
        UploadTooSlowError: It has not arrived after `seconds`, or is slower than `MIN_BYTES_PER_SECOND`.
    """
    declared = request.headers.get("content-length", "0")
    too_large = BodyTooLargeError(
        f"the upload has more than {limit / MIB:g} MiB, the most that is accepted here"
    )
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    parts = request.stream()
    started, size = time.monotonic(), 0
    while True:
        # Where the upload would fall below the slowest speed, or end too late.
        until = min(started + seconds, started + GRACE_SECONDS + size / MIN_BYTES_PER_SECOND)
        try:
            with anyio.fail_after(until - time.monotonic()):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise UploadTooSlowError(
                f"the upload took more than {seconds:g} s, or was slower than {MIN_BYTES_PER_SECOND} bytes/s"
            ) from None
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
