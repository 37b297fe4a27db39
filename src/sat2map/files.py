"""Writing files whole or not at all, one writer at a time, and the folders of a user."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import inspect
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from sat2map.errors import OutputError, Sat2MapError

LOCK_SUFFIX: Final = ".sat2map-lock"
MAX_STEM_BYTES: Final = 200
LEFTOVER_SECONDS: Final = 3600.0

P = ParamSpec("P")
R = TypeVar("R")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place on success and vanishes on failure.

    The name keeps the suffix (encoders look at it) and is unique, so two processes may write the same file.

    Raises:
        OutputError: The folder cannot be made, or the disk is full, read-only or closed to us.
    """
    temporary = path.with_name(f"{_temporary_stem(path)}{uuid.uuid4().hex[:8]}{path.suffix}")
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


@contextlib.contextmanager
def lock_output(path: Path, *, tidy: bool = True) -> Iterator[None]:
    """Keep other processes from writing the same output meanwhile, and remove what killed ones have left.

    The lock is a file beside the output, `.NAME.sat2map-lock` (see `hold_lock`).

    Args:
        path: A file or folder that is about to be written.
        tidy: Whether to look through its folder for what killed processes have left of other outputs; who
            writes thousands of files into one folder does so once (`remove_leftovers`).

    Raises:
        OutputError: Another process is writing it, or its folder cannot be made.
    """
    lock = path.with_name(f".{_shortened(path.name)}{LOCK_SUFFIX}")
    is_left = lock.exists()  # by a process that was killed, unless it is held
    taken = OutputError(
        f"another process is writing {path}", hint="wait for it, or choose another name", setting="output"
    )
    with hold_lock(lock, path, taken):
        if tidy:
            remove_leftovers(path.parent)
        if is_left:
            for left in path.parent.glob(f"{glob.escape(_temporary_stem(path))}????????{path.suffix}"):
                with contextlib.suppress(OSError):
                    left.unlink()
        yield


@contextlib.contextmanager
def hold_lock(lock: Path, output: Path, taken: Sat2MapError) -> Iterator[None]:
    """Hold a lock file, and remove it afterwards, with the folders that were made for it and stayed empty.

    The operating system gives the lock back when its process ends, however that happens: the lock of a dead
    process is taken over. `taken` is raised where another process holds it; `output` is what the error names.

    Raises:
        OutputError: The file or its folder cannot be made.
    """
    made = [folder for folder in lock.parents if not folder.exists()]
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise output_error(output, error) from error
    try:
        if not try_lock(descriptor):
            raise taken
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # while it is still locked, or another's lock would go
                lock.unlink()
    finally:
        os.close(descriptor)
        for folder in made:
            with contextlib.suppress(OSError):  # it holds the output by now
                folder.rmdir()


def locks(parameter: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: while the function runs, the path in one of its parameters is locked.

    Args:
        parameter: Name of the parameter; None in it locks nothing.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def locked(*args: P.args, **kwargs: P.kwargs) -> R:
            path = signature.bind(*args, **kwargs).arguments.get(parameter)
            with contextlib.nullcontext() if path is None else lock_output(Path(path)):
                return function(*args, **kwargs)

        return locked

    return decorate


def try_lock(descriptor: int) -> bool:
    """Lock an open file without waiting; False where another process, or another part of this one, has it."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    # The file may have been removed by its last holder between opening and locking it.
    return os.fstat(descriptor).st_nlink > 0


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside `path`, not made yet, that takes its place on success and vanishes on failure.

    The caller has locked `path` (see `lock_output`).

    Raises:
        OutputError: The disk is full, read-only or closed to us.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        yield unfinished
        if path.exists():
            shutil.rmtree(path)
        unfinished.rename(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _temporary_stem(path: Path) -> str:
    return f".{_shortened(path.stem)}.sat2map-"


def _shortened(name: str) -> str:
    """Return a name, or what stands for it where there would be no room left for a suffix in 255 bytes."""
    encoded = os.fsencode(name)
    return (
        name if len(encoded) <= MAX_STEM_BYTES else f"{name[:40]}-{hashlib.sha256(encoded).hexdigest()[:16]}"
    )


def remove_leftovers(folder: Path, *, age: float = LEFTOVER_SECONDS) -> None:
    """Remove what killed processes left: locks without a process, and temporary files of this age (s)."""
    oldest = time.time() - age
    for path in folder.glob(".*.sat2map-*"):
        with contextlib.suppress(OSError):
            if path.name.endswith(LOCK_SUFFIX):
                _remove_if_free(path)
            elif path.is_file() and path.stat().st_mtime < oldest:
                path.unlink()


def _remove_if_free(lock: Path) -> None:
    descriptor = os.open(lock, os.O_RDWR)
    try:
        if try_lock(descriptor):
            lock.unlink()
    finally:
        os.close(descriptor)


def cache_folder() -> Path:
    """Return the folder of caches: $SAT2MAP_CACHE, or sat2map in the user's cache folder.

    Raises:
        OutputError: The user has no home folder, and no variable names another one.
    """
    if chosen := os.environ.get("SAT2MAP_CACHE"):
        return Path(chosen)
    return _user_folder("XDG_CACHE_HOME", ".cache", "set the environment variable SAT2MAP_CACHE to a folder")


def state_folder() -> Path:
    """Return the folder of what outlives a process, such as jobs; raises what `cache_folder` does.

    It is sat2map in the user's state folder.
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


def require_new_folder(path: Path) -> None:
    """Check that a folder for new files does not exist, or is empty.

    Raises:
        OutputError: It is a file, or a folder that holds something.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path} exists and is not empty", hint="choose a new folder", setting="output")


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
