"""Downloads of the paired data sets of the pix2pix paper: size, checksum, resume, mirror."""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sat2map.data.unpack import unpack
from sat2map.errors import DataError, OutputError
from sat2map.files import locks, output_error, require_new_folder, sha256_of
from sat2map.settings import DataSetName

LICENSES: Final[dict[str, str]] = {
    "maps": "photos and maps of a web map service, gathered for research (Isola et al. 2017): the terms of "
    "that service apply, and no free licence says that you may publish what you make of them",
    "facades": "the CMP Facade Database (Tylecek and Sara 2013), for research: its page has the terms",
    "cityscapes": "Cityscapes (Cordts et al. 2016), for research and teaching without profit: who uses it "
    "agrees to the licence on https://www.cityscapes-dataset.com",
}
"""By data set: whose it is, and what one may do with it."""

# Isola et al. 2017; each NAME.tar.gz holds NAME/train, NAME/val, … of side-by-side pairs.
OFFICIAL: Final = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"
MIRROR_VARIABLE: Final = "SAT2MAP_MIRROR"
TIMEOUT: Final = 30  # s without a byte
ATTEMPTS: Final = 3  # each continues where the one before stopped
CHUNK: Final = 1 << 20
UNPACKED: Final = 1.2  # times the archive, which holds JPEG and shrinks no more

Progress = Callable[[int, "int | None"], None]


@dataclass(frozen=True)
class Downloaded:
    """What a download left.

    Attributes:
        folder: The data set: the folder to train on or to score with.
        url: Where it came from.
        size: Of the archive (bytes).
        sha256: Of the archive; note it down to check the next download against.
        images: How many files were unpacked.
    """

    folder: Path
    url: str
    size: int
    sha256: str
    images: int


@locks("folder")
def download(
    name: DataSetName,
    folder: Path,
    *,
    mirror: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> Downloaded:
    """Fetch a data set and unpack it; an interrupted download continues where it stopped.

    The archives' owners publish no checksums. Without `sha256` the length that the server promises and gzip's
    own checksum are all there is to check; with it, any mirror is as good as another.

    Args:
        name: Which.
        folder: Where to; made, or empty.
        mirror: Address of a folder that holds NAME.tar.gz; None for `$SAT2MAP_MIRROR`, or the official one.
        sha256: Checksum that the archive must have.
        progress: Called with bytes fetched, and bytes in all where the server says.

    Raises:
        DataError: The server is out of reach or lacks the file, the checksum is another, or the archive is
            damaged or no such data set.
        OutputError: The folder holds something, or the disk is full.
    """
    folder = Path(folder)
    require_new_folder(folder)
    base = (mirror or os.environ.get(MIRROR_VARIABLE) or OFFICIAL).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise DataError(f"mirror {base} is no address: it starts with http:// or https://")
    url = f"{base}/{name}.tar.gz"
    part = folder.with_name(f".{folder.name}.{name}.tar.gz.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        size = _fetch(url, part, progress or (lambda done, total: None))
        digest = sha256_of(part)
        if sha256 is not None and digest != sha256.lower():
            _forget(part)
            raise DataError(
                f"{url} has the SHA-256 {digest}, not {sha256}: the download was deleted",
                hint="it is damaged or another file; try again, or use another mirror",
                setting="mirror",
            )
        try:
            images = unpack(part, folder, inside=name)
        except DataError as error:
            _forget(part)
            raise DataError(
                f"{url} {error}, and was deleted", hint="try again, or use another mirror", setting="mirror"
            ) from None
    except OSError as error:
        raise output_error(folder, error) from error
    _forget(part)
    return Downloaded(folder, url, size, digest, images)


def _fetch(url: str, part: Path, progress: Progress) -> int:
    """Fetch into `part`, going on where it ends; return its size."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _go_on(url, part, progress)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # a part that is longer than the file
                _forget(part)
            if error.code < 500 and error.code != 416:
                raise DataError(
                    f"{url} does not exist ({error.code} {error.reason})",
                    hint="use another mirror",
                    setting="mirror",
                ) from None
            reason = f"{error.code} {error.reason}"
        except urllib.error.URLError as error:
            reason = str(error.reason)
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
        if attempt == ATTEMPTS:
            raise DataError(
                f"{url} cannot be reached ({reason})",
                hint="check the network, or use another mirror; the next attempt continues this download",
                setting="mirror",
            )
    raise AssertionError


def _go_on(url: str, part: Path, progress: Progress) -> int:
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "sat2map", "Accept-Encoding": "identity"}
    version = _version_of(part)
    if done and version:
        # With If-Range a server whose file has changed sends all of the new one, and not its tail.
        headers |= {"Range": f"bytes={done}-", "If-Range": version}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        goes_on = answer.status == 206
        done = done if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length is not None else None
        _refuse_small_disk(part, done, total)
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        _note(part).write_text(version, "utf-8")
        with part.open("ab" if goes_on else "wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
    if total is not None and done != total:
        raise ConnectionError(f"the connection broke off after {done} of {total} bytes")
    return done


def _refuse_small_disk(part: Path, done: int, total: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    needed = 0 if total is None else int(total * (1 + UNPACKED)) - done
    if needed > free:
        raise OutputError(
            f"{part.parent} has {free / 1e6:.0f} MB free where the data set needs {needed / 1e6:.0f} MB: "
            "free some space, or name a folder on another disk"
        )


def _version_of(part: Path) -> str:
    try:
        version = _note(part).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if version.startswith("W/") else version  # a weak one does not promise the same bytes


def _note(part: Path) -> Path:
    return part.with_suffix(".version")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
