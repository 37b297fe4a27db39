"""Uploaded images that clients translate more than once, such as at another scale."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sat2map.files import atomic_write_text
from sat2map.serve.http_errors import InsufficientStorageError, NotFoundError
from sat2map.serve.input_files import Inspected, Kind
from sat2map.serve.serve_settings import MIB, Limits

_META = "image.json"


class StoredImage(BaseModel):
    """An uploaded image: its id has 128 random bits, its owner is a key, and it expires (Unix time, s)."""

    model_config = ConfigDict(frozen=True)

    id: str
    owner: str
    file: str
    kind: Kind
    height: int
    width: int
    expires: float


class ImageStore:
    """Images under `STATE/images`, each in a folder of its own; the oldest make room for new ones.

    All is on disk, so the worker processes of one service share the images.
    """

    def __init__(self, state: Path, limits: Limits) -> None:
        self._folder = state / "images"
        self._limit = limits.image_mib * MIB
        self._seconds = limits.image_minutes * 60
        self._lock = threading.Lock()
        self._arriving: dict[Path, int] = {}

    @contextlib.contextmanager
    def new_folder(self, declared: int) -> Iterator[Path]:
        """Yield a folder for an upload of `declared` bytes at most, whose name an image may take by `add`.

        It is removed where the block ends with an error.

        Raises:
            InsufficientStorageError: It is larger than the space for all images.
        """
        folder = self._folder / secrets.token_urlsafe(16)
        with self._lock:
            self._make_room(declared)
            self._arriving[folder] = declared
        try:
            folder.mkdir(parents=True)
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            del self._arriving[folder]

    def add(self, folder: Path, upload: Inspected, owner: str) -> StoredImage:
        """Keep the upload in a `new_folder`."""
        image = StoredImage(
            id=folder.name,
            owner=owner,
            file=upload.path.name,
            kind=upload.kind,
            height=upload.height,
            width=upload.width,
            expires=time.time() + self._seconds,
        )
        atomic_write_text(folder / _META, image.model_dump_json())
        return image

    def get(self, image: str, owner: str) -> StoredImage:
        """Return an image.

        Raises:
            NotFoundError: It does not exist, has expired, or belongs to another key.
        """
        found = (
            self._read(self._folder / image) if image.replace("-", "").replace("_", "").isalnum() else None
        )
        if found is None or found.owner != owner or found.expires < time.time():
            raise NotFoundError("there is no such image: it may have expired, upload it again")
        return found

    def inspected(self, image: StoredImage) -> Inspected:
        """Return the file of an image, as it was found when it came."""
        return Inspected(self._folder / image.id / image.file, image.kind, image.height, image.width)

    def remove(self, image: str, owner: str) -> None:
        """Delete an image; raises what `get` does."""
        shutil.rmtree(self._folder / self.get(image, owner).id, ignore_errors=True)

    def expire(self) -> None:
        """Delete what has expired, and what an ended process has left."""
        now = time.time()
        for folder in self._folders():
            image = self._read(folder)
            unfinished = (
                image is None and folder not in self._arriving and now - _changed(folder) > self._seconds
            )
            if unfinished or (image is not None and image.expires < now):
                shutil.rmtree(folder, ignore_errors=True)

    def _make_room(self, count: int) -> None:
        arriving = sum(self._arriving.values())
        if count + arriving > self._limit:
            raise InsufficientStorageError(
                f"the service keeps at most {self._limit / MIB:g} MiB of images: send this one as a job"
            )
        kept = sorted(self._folders() - set(self._arriving), key=_changed)
        used = sum(map(_size, kept))
        while kept and used + arriving + count > self._limit:
            oldest = kept.pop(0)
            used -= _size(oldest)
            shutil.rmtree(oldest, ignore_errors=True)

    def _folders(self) -> set[Path]:
        return set(self._folder.iterdir()) if self._folder.is_dir() else set()

    def _read(self, folder: Path) -> StoredImage | None:
        try:
            return StoredImage.model_validate_json((folder / _META).read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None


def _size(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError:  # deleted meanwhile
        return 0


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
