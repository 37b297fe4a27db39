"""The fetching of a file by its address, with Python alone or with fsspec."""

from __future__ import annotations

import io
import shutil
import time
import urllib.request
from pathlib import Path

from sat2map.errors import DataError

TRIES = 4
PATIENCE = 60.0  # s without a byte


def fetch(address: str, path: Path) -> None:
    """Download a file: http and https with Python alone, s3 and others with fsspec.

    Raises:
        DataError: It cannot be downloaded.
    """
    for number in range(TRIES):
        try:
            with _open_address(address) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            return
        except OSError as error:  # URLError is one
            if number == TRIES - 1:
                raise DataError(f"{address} cannot be fetched: {error}") from None
            time.sleep(2**number / 2)


def _open_address(address: str) -> io.BufferedIOBase:
    if address.startswith(("http://", "https://")):
        return urllib.request.urlopen(address, timeout=PATIENCE)  # type: ignore[no-any-return]
    try:
        import fsspec

        return fsspec.open(address, "rb").open()  # type: ignore[no-any-return]
    except (ImportError, ValueError) as error:
        raise DataError(f"{address} cannot be fetched: {error}") from None
