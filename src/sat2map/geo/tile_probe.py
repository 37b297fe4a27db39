"""Asking a service for one tile, before the work: what GDAL's drivers do not say when a tile is no tile."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from http.client import HTTPException
from importlib.metadata import version
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from PIL import Image

from sat2map.errors import ImageError, SettingsError
from sat2map.geo.addresses import shown
from sat2map.geo.gdal import TIMEOUT

MAX_BYTES: Final = 20_000_000
MISSING: Final = (204, 404, 410)  # how servers say that there is no such tile
LEVELS_ABOVE: Final = 8  # zoom levels that are tried to find the deepest one

Address = Callable[[int, int, int], str]


def get(address: str) -> tuple[int, str, bytes]:
    """Return status, content type and body of an answer.

    Raises:
        ImageError: There is no answer within the time-out, or a server refuses.
    """
    name = shown(address)
    request = Request(address, headers={"User-Agent": f"sat2map/{version('sat2map')}"})
    try:
        with urlopen(request, timeout=TIMEOUT) as answer:
            return answer.status, answer.headers.get_content_type(), answer.read(MAX_BYTES)
    except HTTPError as error:
        if error.code in MISSING:
            return error.code, "", b""
        raise ImageError(f"{name} answers with status {error.code} ({error.reason})") from None
    except (HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise ImageError(f"{name} does not answer within {TIMEOUT} s; try it later") from None
        raise ImageError(
            f"{name} cannot be reached ({getattr(reason, 'strerror', None) or reason})"
        ) from None


def describe_answer(address: str) -> str:
    """Say what is wrong with a server's answer now, after a read has failed; "" where nothing is."""
    try:
        status, kind, _ = get(address)
    except ImageError as error:
        return error.problem
    if status == 200 and (kind.startswith("image/") or kind.endswith("xml")):
        return ""
    return f"{shown(address)} answers with status {status} and {kind or 'nothing'}"


def check_tiles(address: Address, places: Sequence[tuple[int, int, int]], name: str) -> int:
    """Check that one of some tiles is there, and return the side of a tile in pixels.

    Args:
        address: Gives the address of a tile of zoom, column and row.
        places: Tiles, those that are likeliest to be there first.
        name: What to call the service in messages.

    Raises:
        SettingsError: None of them is there.
        ImageError: The service does not answer, or with something else than an image.
    """
    for place in places:
        size = _side_of(address(*place), name)
        if size:
            return size
    zoom, x, y = places[0]
    for up in range(1, min(zoom, LEVELS_ABOVE) + 1):
        if _side_of(address(zoom - up, x >> up, y >> up), name):
            raise SettingsError(
                f"{name} has no tiles at zoom {zoom} there",
                hint=f"its deepest zoom there is {zoom - up}",
                setting="zoom",
            )
    raise SettingsError(f"the box lies outside {name}: there are no tiles", setting="bbox")


def _side_of(address: str, name: str) -> int:
    """Return the side of a tile in pixels, 0 where there is none."""
    status, kind, content = get(address)
    if status in MISSING or not content:
        return 0
    try:
        with Image.open(io.BytesIO(content)) as tile:
            tile.load()
            width, height = tile.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        said = " ".join(content[:2000].decode("utf-8", "replace").split())[:120]
        what = f"{kind}, which is no image" if not kind.startswith("image/") else f"a damaged {kind}"
        text = f": {said}" if kind.startswith("text/") or "xml" in kind or "json" in kind else ""
        raise ImageError(f"{shown(address)} answers with {what}{text}") from None
    if width != height or width not in (256, 512, 1024):
        raise ImageError(
            f"{shown(address)} is {width}×{height} px: {name} does not serve tiles of 256 or 512 px"
        )
    return width
