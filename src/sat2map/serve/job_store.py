"""Records of jobs in an SQLite file of the state folder, so that they survive a restart."""

from __future__ import annotations

import errno
import json
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

_VERSION = 4
_COLUMNS = (
    "id TEXT PRIMARY KEY, owner TEXT NOT NULL, model TEXT NOT NULL, source TEXT NOT NULL, "
    "kind TEXT NOT NULL, state TEXT NOT NULL, "
    "height INTEGER NOT NULL, width INTEGER NOT NULL, bytes INTEGER NOT NULL, created REAL NOT NULL, "
    "finished REAL, error TEXT, gsd REAL, "
    "tiles_done INTEGER NOT NULL DEFAULT 0, tiles INTEGER NOT NULL DEFAULT 0, "
    "page INTEGER, whole INTEGER NOT NULL DEFAULT 0, notes TEXT NOT NULL DEFAULT '[]'"
)


class JobRecord(BaseModel):
    """A job as it is stored.

    Its id has 128 random bits, its owner is the name of an API key, and its source that of the upload in its
    folder. Times are Unix times (s); `bytes` are those of upload and result on disk; `tiles` is 0 while it
    is unknown.
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
    tiles_done: int = 0
    tiles: int = 0
    page: int | None = None
    whole: bool = False
    notes: list[str] = []


class JobStore:
    """Records of jobs; its functions may be called from any thread."""

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        """Open or create the file.

        Args:
            path: The file.
            shared: Let other worker processes of the same service use it; by default it is locked.

        Raises:
            SettingsError: Another service uses it, a newer version wrote it, or it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, check_same_thread=False, isolation_level=None, timeout=10 if shared else 1
            )
            self._db.row_factory = sqlite3.Row
            if not shared:
                self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("BEGIN IMMEDIATE")  # takes the lock; in exclusive mode it is kept
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            self._migrate(version)
            self._db.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            problem = f"the state folder {path.parent} cannot be used ({error})"
            if "locked" in str(error):
                problem = f"another service uses the state folder {path.parent}"
            raise SettingsError(problem, hint="choose another folder", setting="state") from None
        if version > _VERSION:
            self._db.close()
            raise SettingsError(
                f"{path} was written by a newer sat2map",
                hint="upgrade, or choose another folder",
                setting="state",
            )
        self._lock = threading.Lock()

    def _migrate(self, version: int) -> None:
        """Bring the table from `version` to the present one."""
        if version == 0:
            self._db.execute(f"CREATE TABLE jobs ({_COLUMNS})")
        if version == 1:
            self._db.execute("ALTER TABLE jobs ADD COLUMN gsd REAL")
        if version in (1, 2):
            self._db.execute("ALTER TABLE jobs ADD COLUMN tiles_done INTEGER NOT NULL DEFAULT 0")
            self._db.execute("ALTER TABLE jobs ADD COLUMN tiles INTEGER NOT NULL DEFAULT 0")
        if version in (1, 2, 3):
            self._db.execute("ALTER TABLE jobs ADD COLUMN page INTEGER")
            self._db.execute("ALTER TABLE jobs ADD COLUMN whole INTEGER NOT NULL DEFAULT 0")
            self._db.execute("ALTER TABLE jobs ADD COLUMN notes TEXT NOT NULL DEFAULT '[]'")
        if version < _VERSION:
            self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def add(self, record: JobRecord) -> None:
        """Store a new job."""
        values = record.model_dump(exclude={"error", "notes"})
        self._execute(
            f"INSERT INTO jobs ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
            *values.values(),
        )

    def get(self, job: str) -> JobRecord | None:
        """Return a job, or None."""
        rows = self._execute("SELECT * FROM jobs WHERE id = ?", job)
        return _record(rows[0]) if rows else None

    def in_states(self, *states: State) -> list[JobRecord]:
        """Return the jobs in these states, the oldest first."""
        marks = ", ".join("?" * len(states))
        query = f"SELECT * FROM jobs WHERE state IN ({marks}) ORDER BY created, id"
        return [_record(row) for row in self._execute(query, *states)]

    def take(self) -> JobRecord | None:
        """Mark the oldest queued job as running and return it, or None.

        Raises:
            OutputError: The file cannot be written.
        """
        rows = self._execute(
            "UPDATE jobs SET state = 'running' WHERE id = "
            "(SELECT id FROM jobs WHERE state = 'queued' ORDER BY created, id LIMIT 1) RETURNING *"
        )
        return _record(rows[0]) if rows else None

    def put_back(self, job: str) -> None:
        """Mark a running job as queued: it will run again."""
        self._execute("UPDATE jobs SET state = 'queued' WHERE state = 'running' AND id = ?", job)

    def report(self, job: str, done: int, total: int) -> None:
        """Store the progress of a job."""
        self._execute("UPDATE jobs SET tiles_done = ?, tiles = ? WHERE id = ?", done, total, job)

    def end(
        self,
        job: str,
        state: State,
        *,
        size: int = 0,
        error: Problem | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Mark a job as ended, unless it has ended already."""
        assert state in ENDED
        text = error.model_dump_json() if error else None
        self._execute(
            "UPDATE jobs SET state = ?, bytes = ?, finished = ?, error = ?, notes = ? "
            "WHERE id = ? AND state IN ('queued', 'running')",
            *(state, size, time.time(), text, json.dumps(notes), job),
        )

    def remove(self, job: str) -> None:
        """Delete a job."""
        self._execute("DELETE FROM jobs WHERE id = ?", job)

    def total_bytes(self) -> int:
        """Return the size of all uploads and results on disk."""
        return int(self._execute("SELECT coalesce(sum(bytes), 0) FROM jobs")[0][0])

    def close(self) -> None:
        """Close the file and release its lock."""
        with self._lock:
            self._db.close()

    def _execute(self, statement: str, *values: object) -> list[sqlite3.Row]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            full = OSError(errno.ENOSPC, "no space left") if "full" in str(error) else None
            raise OutputError(f"the records of jobs cannot be used: {error}") from full


def _record(row: sqlite3.Row) -> JobRecord:
    values = dict(row)
    if values["error"]:
        values["error"] = Problem.model_validate_json(values["error"])
    values["notes"] = json.loads(values["notes"])
    return JobRecord.model_validate(values)
