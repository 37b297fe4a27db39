"""Object storage, by obstore: what a bulk job reads and writes under s3://, gs:// and az://.

An object appears whole or not at all: each is put in one request, from a file that is finished, and an upload
in parts, which a killed process would leave behind in the bucket, is never begun.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from sat2map.bulk.store_client import MAX_RETRIES, open_client
from sat2map.errors import OutputError, SettingsError
from sat2map.extras import require
from sat2map.files import atomic_path, cache_folder

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES: Final = ("s3", "gs", "az", "file", "memory")
MAX_PUT: Final = 5 * 10**9  # bytes; S3 and Azure take no more in one request
REQUEST_SECONDS: Final = 60  # for a request, beside …
SLOWEST: Final = 10**6  # … its body, at so many bytes/s
_STATUS = re.compile(r"\b[45]\d\d [A-Z][\w ]*")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_NO_CREDENTIALS = (
    "169.254.",
    "metadata.google",
    "oken request",
    "Account must be specified",
    "ssing credential",
)


def is_store(text: str) -> bool:
    """Whether a job's folder is an address, s3://BUCKET/FOLDER, and no path."""
    return "://" in text


def scratch_folder(url: str, name: str) -> Path:
    """Return where a machine keeps what it has not yet put: a folder for each shard of a job."""
    return cache_folder() / "bulk" / hashlib.blake2b(url.encode(), digest_size=8).hexdigest() / name


class Store:
    """The objects under an address.

    Keys come from the environment, as `docs/scale.md` lists; they are in no address, message or manifest.
    Where the store does not answer, or refuses, every method raises an `OutputError`.
    """

    def __init__(self, url: str) -> None:
        """Name them.

        Args:
            url: s3://BUCKET/FOLDER, gs://…, az://CONTAINER/…; file:///FOLDER and memory://NAME, for tests.

        Raises:
            SettingsError: It is no such address, or holds a key.
            MissingExtraError: obstore is not installed.
        """
        parts = urlsplit(url)
        self.url = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
        self.url = self.url.rstrip("/")
        if parts.scheme not in SCHEMES or not (parts.netloc or parts.scheme == "file"):
            raise SettingsError(
                f"{self.url} is no address of object storage",
                hint="give s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER",
            )
        if "@" in parts.netloc or parts.query:
            raise SettingsError(
                f"the address of {self.url} holds a key, which would be written down",
                hint="put keys into the environment: AWS_ACCESS_KEY_ID and so on",
            )
        require("obstore", "object storage", "cloud")
        self._bucket = parts.netloc

    def get(self, name: str) -> bytes | None:
        """Return an object, or None where there is none."""
        import obstore

        with self._failures("read"):
            try:
                return bytes(obstore.get(self._open(), name).bytes())
            except FileNotFoundError as error:
                if any(code in str(error) for code in _NO_BUCKET):
                    raise
        return None

    def put(self, name: str, content: bytes, *, replace: bool = True) -> bool:
        """Put an object; False where it is there already and not to be replaced."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._failures("written"):
            mode: Literal["overwrite", "create"] = "overwrite" if replace else "create"
            try:
                obstore.put(self._open(), name, content, mode=mode, use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def upload(self, name: str, path: Path) -> None:
        """Put a finished file, whose pages are sent as they lie on the disk.

        Raises:
            SettingsError: It is larger than one request may be.
        """
        import obstore

        size = path.stat().st_size
        if size > MAX_PUT:
            raise SettingsError(
                f"{self.url}/{name} would have {size / 1e9:.1f} GB, and one request may have 5",
                hint="leave the raster in windows, assembled as a VRT",
                setting="assemble",
            )
        if not size:
            self.put(name, b"")
            return
        with path.open("rb") as file:  # the store may hold the pages a moment longer, and they close with it
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with self._failures("written"):
            obstore.put(self._open(size), name, pages, use_multipart=False)

    def download(self, name: str, path: Path) -> None:
        """Copy an object into a file, which appears whole or not at all.

        Raises:
            OutputError: There is no such object, or the disk is full.
        """
        import obstore

        with atomic_path(path) as temporary, temporary.open("wb") as file, self._failures("read"):
            for piece in obstore.get(self._open(MAX_PUT), name).stream(min_chunk_size=1 << 20):
                file.write(piece)

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none."""
        import obstore

        with self._failures("written"), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._open(), name)

    def sizes(self, *, prefix_only: bool = False) -> Iterator[tuple[str, int]]:
        """Yield name and bytes of each object, or of those right in the folder alone (`prefix_only`)."""
        import obstore

        with self._failures("listed"):
            if prefix_only:
                found = obstore.list_with_delimiter(self._open())["objects"]
                yield from ((one["path"], one["size"]) for one in found)
                return
            for page in obstore.list(self._open()):
                yield from ((one["path"], one["size"]) for one in page)

    def _open(self, size: int = 0) -> ObjectStore:
        if self.url.startswith(("file:", "memory:")):
            return open_client(self.url, 0)
        return open_client(self.url, REQUEST_SECONDS * (1 + size // SLOWEST // REQUEST_SECONDS))

    @contextlib.contextmanager
    def _failures(self, verb: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError as error:
            if error.errno is not None:  # a file's, not the store's
                raise
            raise self._sentence(verb, error) from None
        except BaseError as error:
            raise self._sentence(verb, error) from None

    def _sentence(self, verb: str, error: Exception) -> OutputError:
        """Say in one sentence what went wrong; of the store's words, its code: the rest may hold keys."""
        text = str(error).partition("\n\nDebug source")[0]
        code, status = _CODE.search(text), _STATUS.search(text)
        why = ", ".join(found for found in (status and status[0].strip(), code and code[1]) if found)
        if any(one in text for one in _NO_BUCKET):
            return OutputError(
                f"there is no bucket '{self._bucket}' ({self.url})", hint="make it, or check its name"
            )
        if any(one in text for one in _NO_CREDENTIALS):
            return OutputError(
                f"{self.url} cannot be {verb}: there are no credentials",
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or your store's, in the environment",
            )
        if status is not None and status[0][:3] in ("400", "401", "403"):
            return OutputError(
                f"{self.url} cannot be {verb}: the store refuses ({why})",
                hint="check the keys in the environment, and what they may do",
            )
        return OutputError(
            f"{self.url} cannot be {verb}: the store {f'answers {why}' if why else 'does not answer'}, "
            f"after {MAX_RETRIES} retries",
            hint="when it does again, resume the job",
            setting="resume",
        )
