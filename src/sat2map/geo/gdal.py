"""GDAL's settings for our jobs, and its errors as ours."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from sat2map.errors import OutputError
from sat2map.errors import reason as reason  # beside FAILURES, whose it tells
from sat2map.geo.addresses import NETWORK

FAILURES = (CPLE_BaseError, RasterioError)
"""What rasterio raises; the first kind comes from GDAL calls that it does not wrap."""

BLOCK_CACHE = 48 * 2**20  # bytes: rasterio takes them, unlike GDAL, which reads small numbers as MB
COPY_MEMORY = {"GDAL_CACHEMAX": 8 * 2**20, "GDAL_MAX_DATASET_POOL_SIZE": 16}
"""For copying a mosaic of many files from the first row to the last: what is read does not come again."""

RETRY_DELAY = 0.5  # s; doubled with each retry
TIMEOUT = 10  # s; for a connection, and for a server that has fallen silent
_FULL = 8 * 2**20  # bytes; a disk with less than this left is full


def thread_env() -> rasterio.Env:
    """Return GDAL's settings for a `with`; each thread enters its own.

    The block cache holds a row of blocks, as strips read it part by part: a block that it has lost is
    fetched and unpacked again. A server that stumbles is asked again.
    """
    return rasterio.Env(
        GDAL_CACHEMAX=BLOCK_CACHE,
        COG_TMP_COMPRESSION="NONE",  # of overviews on their way into a file: a third of the time to write it
        GDAL_HTTP_MAX_RETRY=3,
        GDAL_HTTP_RETRY_DELAY=RETRY_DELAY,
        GDAL_HTTP_CONNECTTIMEOUT=TIMEOUT,
        GDAL_HTTP_LOW_SPEED_TIME=TIMEOUT,  # below …
        GDAL_HTTP_LOW_SPEED_LIMIT=100,  # … bytes/s
        GDAL_HTTP_MERGE_CONSECUTIVE_RANGES="YES",
        GDAL_HTTP_USERAGENT=f"sat2map/{version('sat2map')}",
        CPL_VSIL_CURL_NON_CACHED=":".join(NETWORK),  # or a truncated range would outlive its dataset
        VSI_CACHE=True,
        **_store_endpoint(),
    )


def _store_endpoint() -> dict[str, str]:
    """Return GDAL's options for object storage that is not Amazon's own, as all else takes it."""
    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not address:
        return {}
    where = urlsplit(address)
    return {
        "AWS_S3_ENDPOINT": f"{where.netloc}{where.path}".rstrip("/"),
        "AWS_HTTPS": "NO" if where.scheme == "http" else "YES",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


@contextlib.contextmanager
def gdal_env() -> Iterator[None]:
    """Set GDAL up for a whole job; a raster without georeference is reported by us."""
    with warnings.catch_warnings(), thread_env():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def write_error(path: Path, error: BaseException) -> OutputError:
    """Say in one sentence why GDAL could not write `path`: it does not say itself that a disk is full."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if shutil.disk_usage(folder).free < _FULL:
        return OutputError(f"the disk is full: {path} was not written; free some space and run it again")
    return OutputError(f"{path} cannot be written ({reason(error)}): choose another place")
