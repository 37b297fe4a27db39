"""Atomic writes: a reader sees the old content of a file or the new, never half of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from sat2map.errors import OutputError


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place on success and vanishes on failure.

    The name keeps the suffix (encoders look at it) and is unique, so two processes may write the same file.

    Raises:
        OutputError: The folder cannot be made, or the disk is full, read-only or closed to us.
    """
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # or a power cut could leave the new name with nothing behind it
        temporary.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Return the folder of caches: $SAT2MAP_CACHE, or sat2map in the user's cache folder.

    Raises:
        OutputError: The user has no home folder, and no variable names another one.
    """
    if chosen := os.environ.get("SAT2MAP_CACHE"):
        return Path(chosen)
    return _user_folder("XDG_CACHE_HOME", ".cache", "set the environment variable SAT2MAP_CACHE to a folder")


def state_folder() -> Path:
    """Return the folder of what outlives a process, such as jobs: sat2map in the user's state folder.

    Raises:
        OutputError: The user has no home folder, and no variable names another one.
    """
    return _user_folder("XDG_STATE_HOME", ".local/state", "name a folder for the state")


def _user_folder(variable: str, below_home: str, hint: str) -> Path:
    if base := os.environ.get(variable):
        return Path(base) / "sat2map"
    try:
        return Path.home() / below_home / "sat2map"
    except RuntimeError:  # neither HOME nor an entry in /etc/passwd, as in some containers
        raise OutputError("this user has no home folder", hint=hint, setting="state") from None


def refuse_existing(path: Path, *, overwrite: bool = False) -> None:
    """Check that writing to `path` replaces nothing unasked.

    Raises:
        OutputError: It exists, and `overwrite` is not set.
    """
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} exists", hint="choose another name, or allow it to be replaced", setting="overwrite"
        )


def require_new_folder(path: Path, *, setting: str = "output") -> None:
    """Check that a folder for new files does not exist, or is empty.

    Raises:
        OutputError: It is a file, or a folder that holds something.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path} exists and is not empty", hint="choose a new folder", setting=setting)


def output_error(path: Path, error: OSError) -> OutputError:
    """Say in one sentence why `path` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"the disk is full: {path} was not written; free some space and run the command again"
        )
    return OutputError(f"{path} cannot be written: {error.strerror or error}; choose another place")


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, wholly or not at all (see `atomic_path`)."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def atomic_write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, wholly or not at all (see `atomic_path`)."""
    atomic_write_bytes(path, text.encode())


def sha256_of(path: Path) -> str:
    """Return the checksum of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
