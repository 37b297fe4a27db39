"""Decoding of uploads in a child process, where they can take neither memory nor time from other requests.

Decoders hold Python's lock for long on some files (a PNG with one chunk of 24 MB, metadata with a million
entries), and damaged files have crashed decoders. Small files are decoded in the calling thread instead.
Decoded pixels come back through a file: to unpickle 48 MB would hold Python's lock for tens of milliseconds.
Errors call the file "the image": clients must not learn where the service keeps it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import multiprocessing
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import numpy as np

from sat2map.errors import ImageError, Sat2MapError
from sat2map.images.levels import Stretch, measure_limits
from sat2map.images.pixels import Picture, read_image, read_size
from sat2map.serve.parent import when_parent_ends

T = TypeVar("T")
SMALL_FILE = 2**20  # bytes that are decoded in the calling thread
SMALL_IMAGE = 2_000_000  # px
_HEADROOM = 512 * 2**20  # bytes that a child may take beside the decoded image


class _Stored(NamedTuple):
    """A picture whose pixels lie in a file."""

    rest: Picture
    path: Path
    shape: tuple[int, ...]


class _Upload(io.BytesIO):
    """Bytes with the name that errors show instead of a path."""

    def __str__(self) -> str:
        return "the image"


class Decoder:
    """Reads sizes and pixels of image files; may be used from any thread."""

    def __init__(self, memory: int, *, folder: Path | None = None) -> None:
        """Prepare; the child process starts with the first large file.

        Args:
            memory: Largest decoded image (bytes).
            folder: Where the pixels of large images pass from the child to here; None: through a pipe.
        """
        self._folder = folder
        self._memory = memory
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def size(self, file: bytes | Path) -> tuple[int, int]:
        """Return (height, width) of an image file, from its header.

        Raises:
            ImageError: It is damaged.
        """
        return self._run(read_size, file, child=_length(file) > SMALL_FILE)

    def pixels(
        self,
        file: bytes | Path,
        *,
        page: int | None = None,
        bands: int = 3,
        stretch: Stretch = measure_limits,
    ) -> Picture:
        """Decode an image file whose size was accepted.

        Args:
            file: The file.
            page: Which page or frame of it, from 1; None: the first. The size of others is not known before.
            bands: How many are wanted (see `read_image`).
            stretch: What gives the limits of samples of more than 8 bits (see `read_image`).

        Raises:
            ImageError: It is damaged, of a kind that cannot be read without damage, or has no such page.
        """
        child = _length(file) > SMALL_FILE or (page or 1) > 1
        if not child:
            height, width = self.size(file)
            child = height * width > SMALL_IMAGE
        read = functools.partial(read_image, page=page, bands=bands, stretch=stretch)
        return self._run(read, file, child=child)

    def close(self) -> None:
        """End the child process."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, function: Callable[[Path], T], file: bytes | Path, *, child: bool) -> T:
        with hiding(file):
            return self._in_child(function, file) if child else function(_as_path(file))

    def _in_child(self, function: Callable[[Path], T], file: bytes | Path) -> T:
        with self._lock:
            pool = self._pool = self._pool or ProcessPoolExecutor(
                max_workers=1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_prepare_child,
                initargs=(self._memory + _HEADROOM,),
            )
        try:
            found = pool.submit(_run_on_file, function, file, self._folder).result()
        except MemoryError:
            raise ImageError("decoding the image takes too much memory") from None
        except BrokenProcessPool:
            with self._lock:
                if self._pool is pool:
                    self._pool = None
            raise ImageError("the image cannot be decoded: it is damaged, or takes too much memory") from None
        return cast("T", _take(found) if isinstance(found, _Stored) else found)


@contextlib.contextmanager
def hiding(file: bytes | Path) -> Iterator[None]:
    """Let the text of an error say "the image" instead of the service's path."""
    try:
        yield
    except Sat2MapError as error:
        if isinstance(file, Path):
            error.problem = error.problem.replace(str(file), "the image")
            error.args = (error.problem,)
        raise


def _length(file: bytes | Path) -> int:
    return len(file) if isinstance(file, bytes) else file.stat().st_size


def _as_path(file: bytes | Path) -> Path:
    return cast("Path", _Upload(file)) if isinstance(file, bytes) else file  # Pillow reads either


def _run_on_file(function: Callable[[Path], object], file: bytes | Path, folder: Path | None) -> object:
    found = function(_as_path(file))
    return _store(found, folder) if folder is not None and isinstance(found, Picture) else found


def _store(picture: Picture, folder: Path) -> Picture | _Stored:
    """Write the pixels of a large picture into a file; without room for it, they go through the pipe."""
    if picture.pixels.size <= SMALL_IMAGE:
        return picture
    path = folder / f"pixels-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        picture.pixels.tofile(path)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        return picture
    return _Stored(picture._replace(pixels=np.empty(0, np.uint8)), path, picture.pixels.shape)


def _take(stored: _Stored) -> Picture:
    try:
        return stored.rest._replace(pixels=np.fromfile(stored.path, np.uint8).reshape(stored.shape))
    finally:
        stored.path.unlink(missing_ok=True)


def _prepare_child(more: int) -> None:
    """Bound this process's memory to what it has and `more` bytes, where the system can."""
    # The pool's queue never ends for a child, as each child holds both ends of it.
    when_parent_ends(lambda: os._exit(1))
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
