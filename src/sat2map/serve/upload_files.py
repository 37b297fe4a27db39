"""Uploads into files: receiving them in a folder, and copying kept ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import anyio
import anyio.to_thread
from fastapi import Request

from sat2map.models.model_file import ModelHeader
from sat2map.serve.http_errors import BadRequestError, TooManyPixelsError
from sat2map.serve.input_files import Inspected, inspect_file
from sat2map.serve.memory import price, size_for_model
from sat2map.serve.serve_settings import MIB
from sat2map.serve.service import Service
from sat2map.serve.uploads import stream_body


async def receive_file(service: Service, request: Request, folder: Path) -> Inspected:
    """Write the body of a request into a folder and find out what it is.

    Raises:
        BadRequestError: It is empty.
        BodyTooLargeError, UploadTooSlowError: See `stream_body`.
        UnsupportedFormatError, TooManyPixelsError, ImageError: See `inspect_file`.
    """
    limits = service.settings.limits
    body = stream_body(request, limit=limits.job_body_bytes, seconds=limits.job_upload_seconds)
    async with await anyio.open_file(folder / "upload", "wb") as file:
        async for part in body:
            await file.write(part)
        if not await file.tell():
            raise BadRequestError("the request has no body: send the bytes of an image")
    most = limits.job_picture_pixels, limits.job_pixels
    return await service.run_in_thread(inspect_file, folder / "upload", service.decoder, *most, large=True)


def check_price(service: Service, header: ModelHeader, shape: tuple[int, int], gsd: float | None) -> None:
    """Refuse a picture that could never be translated in the service's memory.

    Raises:
        SettingsError, ImageError, TooManyPixelsError: See `memory.size_for_model`.
        TooManyPixelsError: It takes more than all memory for images.
    """
    pixels = service.settings.limits.job_picture_pixels
    size = size_for_model(header, shape, gsd, pixels=pixels)
    needed = price(header, shape, gsd, pixels=pixels)
    if needed > service.memory.total:
        raise TooManyPixelsError(
            f"translating {size[1]}×{size[0]} px takes {needed / MIB:.0f} MiB of memory, and the service has "
            f"{service.memory.total / MIB:.0f} MiB: send it as a GeoTIFF, which is translated in parts"
        )


def copy_file(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
