"""Owns the records of jobs: an SQLite file in the state folder, so that they outlive the service."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from sat2map.errors import OutputError, SettingsError
from sat2map.serve.input_files import Kind
from sat2map.serve.problems import Problem

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: Final[tuple[State, ...]] = ("done", "failed", "cancelled")

_VERSION = 2
_COLUMNS = (
    "id TEXT PRIMARY KEY, owner TEXT NOT NULL, model TEXT NOT NULL, source TEXT NOT NULL, "
    "kind TEXT NOT NULL, state TEXT NOT NULL, "
    "height INTEGER NOT NULL, width INTEGER NOT NULL, bytes INTEGER NOT NULL, created REAL NOT NULL, "
    "finished REAL, error TEXT, gsd REAL"
)


class Record(BaseModel):
    """A job as it is stored.

    Attributes:
        id: Its name, which nobody can guess.
        owner: Whose API key asked for it; empty where there are no keys.
        model: Name of the model.
        source: Name of the uploaded file in the job's folder.
        kind: What it is.
        state: How far it is.
        height: Of the raster (px).
        width: Of the raster (px).
        gsd: Ground size of a picture's pixels (m), where it was given.
        bytes: On disk, upload and result together.
        created: Unix time (seconds).
        finished: The same, or None.
        error: Why it failed.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    owner: str
    model: str
    source: str
    kind: Kind
    state: State = "queued"
    height: int
    width: int
    gsd: float | None = None
    bytes: int
    created: float
    finished: float | None = None
    error: Problem | None = None


class JobStore:
    """Records of jobs; all of its functions may be called from any thread.

    It holds the file's lock while it is open: two services never share a state folder.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            SettingsError: Another service has it, it is of a newer version, or it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=1)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("BEGIN IMMEDIATE")  # takes the lock, which stays
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._db.execute(f"CREATE TABLE jobs ({_COLUMNS})")
            elif version == 1:
                self._db.execute("ALTER TABLE jobs ADD COLUMN gsd REAL")
            if version < _VERSION:
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
            self._db.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            if "locked" in str(error):
                raise SettingsError(
                    f"another service uses the state folder {path.parent}: give --state another folder"
                ) from None
            raise SettingsError(
                f"the state folder {path.parent} cannot be used ({error}): give --state another folder"
            ) from None
        if version > _VERSION:
            self._db.close()
            raise SettingsError(f"{path} is of a newer sat2map: upgrade, or give --state another folder")
        self._lock = threading.Lock()

    def add(self, record: Record) -> None:
        """Store a new job."""
        values = record.model_dump(exclude={"error"})
        self._write(
            f"INSERT INTO jobs ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
            [*values.values()],
        )

    def get(self, job: str) -> Record | None:
        """Return a job, or None."""
        found = self._read("WHERE id = ?", [job])
        return found[0] if found else None

    def in_states(self, *states: State) -> list[Record]:
        """Return the jobs in these states, the oldest first."""
        return self._read(f"WHERE state IN ({', '.join('?' * len(states))}) ORDER BY created, id", states)

    def take(self) -> Record | None:
        """Mark the oldest queued job as running and return it, or None."""
        with self._lock:
            row = self._db.execute(
                "UPDATE jobs SET state = 'running' WHERE id = "
                "(SELECT id FROM jobs WHERE state = 'queued' ORDER BY created, id LIMIT 1) RETURNING *"
            ).fetchone()
            return _record(row) if row else None

    def put_back(self, job: str | None = None) -> None:
        """Mark a running job (None: all of them) as queued: it will be run again."""
        if job is None:
            self._write("UPDATE jobs SET state = 'queued' WHERE state = 'running'", [])
        else:
            self._write("UPDATE jobs SET state = 'queued' WHERE state = 'running' AND id = ?", [job])

    def end(self, job: str, state: State, *, size: int = 0, error: Problem | None = None) -> None:
        """Mark a job as ended, unless it has ended already."""
        assert state in ENDED
        words = error.model_dump_json() if error else None
        self._write(
            "UPDATE jobs SET state = ?, bytes = ?, finished = ?, error = ? "
            "WHERE id = ? AND state IN ('queued', 'running')",
            [state, size, time.time(), words, job],
        )

    def remove(self, job: str) -> None:
        """Forget a job."""
        self._write("DELETE FROM jobs WHERE id = ?", [job])

    def total_bytes(self) -> int:
        """Return what all jobs have on disk."""
        with self._lock:
            return int(self._db.execute("SELECT coalesce(sum(bytes), 0) FROM jobs").fetchone()[0])

    def close(self) -> None:
        """Close the file and give back its lock."""
        with self._lock:
            self._db.close()

    def _write(self, statement: str, values: Sequence[object]) -> None:
        try:
            with self._lock:
                self._db.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise OutputError(f"the jobs' records cannot be written: {error}") from None

    def _read(self, condition: str, values: Sequence[object]) -> list[Record]:
        with self._lock:
            return [_record(row) for row in self._db.execute(f"SELECT * FROM jobs {condition}", values)]


def _record(row: sqlite3.Row) -> Record:
    values = dict(row)
    if values["error"]:
        values["error"] = Problem.model_validate_json(values["error"])
    return Record.model_validate(values)
