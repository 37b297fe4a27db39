"""What the folder of a bulk job says of it, so that no other job is mixed into it."""

from __future__ import annotations

import json
from pathlib import Path

from sat2map.bulk.store import Store
from sat2map.bulk.worker import WorkOptions
from sat2map.errors import SettingsError
from sat2map.files import atomic_write_text

JOB = "job.json"


def record_job(options: WorkOptions, store: Store | None, *, resume: bool) -> None:
    """Write down what the folder's job is, or check that it is this one.

    Raises:
        SettingsError: It holds another job, one that is not to be resumed, or something else.
        OutputError: It cannot be written.
    """
    folder, job = store.url if store is not None else options.folder, options.config_key()
    text = json.dumps(job, indent=1)
    found = _read_job(options.folder) if store is None else store.get(JOB)
    if found is None:
        if not resume and _holds_something(options.folder, store):
            raise SettingsError(f"{folder} is not empty", hint="choose a new folder", setting="output")
        if store is None:
            atomic_write_text(options.folder / JOB, text)
            return
        if store.put(JOB, text.encode(), replace=False):
            return
        found = store.get(JOB)  # another shard's, which was a moment faster
    if not resume:
        raise SettingsError(
            f"{folder} holds a job already", hint="resume it, or choose a new folder", setting="resume"
        )
    try:
        before = json.loads(found or b"")
    except ValueError:
        raise SettingsError(
            f"{folder}/{JOB} cannot be read", hint="choose a new folder", setting="output"
        ) from None
    other = [name for name in {**before, **job} if before.get(name) != job.get(name)]
    if other:
        raise SettingsError(
            f"{folder} was begun with another {' and '.join(other)}: give the same options, or a new folder"
        )


def _read_job(folder: Path) -> bytes | None:
    path = folder / JOB
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder} is a file", hint="give a folder", setting="output")
    try:
        return path.read_bytes() if path.exists() else None
    except OSError:
        return b""


def _holds_something(folder: Path, store: Store | None) -> bool:
    if store is not None:
        return next(store.sizes(), None) is not None
    return folder.exists() and any(folder.iterdir())
