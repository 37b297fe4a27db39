"""The manifest of a bulk job: a line of JSON for each output, with its checksum or its error.

In object storage, where nothing can be appended to, its files are put again as they grow.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from sat2map.bulk.store import Store
from sat2map.bulk.tasks import Task
from sat2map.files import atomic_write_text, output_error
from sat2map.geo.addresses import shown

FOLDER = "manifest"
CHECKSUMS = "SHA256SUMS"
PUT_SECONDS = 5.0  # between two puts of a manifest that grows
MAX_LINES = 1000  # of a file of a manifest in object storage, a third of a MB
READERS = 16  # files of it that are fetched at a time
MAX_ATTEMPTS = 3  # processes that may die over one task before it is given up

State = Literal["done", "empty", "failed"]


@dataclass(frozen=True)
class TaskRecord:
    """What became of a task.

    Attributes:
        output: The file, relative to the job's folder.
        source: What it was made of (`source_key`).
        state: `empty` is a window with no valid pixel, for which no file is written.
        stamp: Size and time of change of a local source; a source that changed is translated again.
        size: Bytes of the output.
        sha256: Its checksum.
        error: Why it failed.
        setting: Which setting is wrong or would fix it, or "".
        fatal: Whether the next tasks would fail for the same reason: a disk that is full.
        notes: What a person should know of how it was read.
        tiles: How many a raster took.
        seconds: How long that took.
        engine: What ran the model.
        process: The process that did it, and its machine.
        at: When it was done (Unix time).
        scale: Limits of the task; with others, measured with more sources, it is done again.
    """

    output: str
    source: str
    state: State
    stamp: tuple[int, int] | None = None
    size: int = 0
    sha256: str = ""
    error: str = ""
    setting: str = ""
    fatal: bool = False
    notes: tuple[str, ...] = ()
    tiles: int = 0
    seconds: float = 0.0
    engine: str = ""
    process: tuple[str, int] = ("", 0)
    at: float = 0.0
    scale: tuple[float, ...] | None = None

    def to_json(self) -> str:
        """Return it as one line."""
        return _RECORD.dump_json(self).decode()

    @classmethod
    def from_json(cls, line: str) -> TaskRecord:
        """Read what `to_json` returns."""
        return _RECORD.validate_json(line)


_RECORD: Final = TypeAdapter(TaskRecord)


class Manifest:
    """The lines of a job, in `manifest/`: each process appends to a file of its own, so none waits.

    A line is written after its output is whole. What a killed process had not yet written down is done again.
    Where a line cannot be written, or the store does not answer or refuses, methods raise an `OutputError`.
    """

    def __init__(self, folder: Path, store: Store | None = None) -> None:
        """Name where it lies.

        Args:
            folder: The job's folder on this machine.
            store: Where the job is kept, if that is object storage.
        """
        self._folder, self._store = folder, store
        self._sizes: dict[str, int] = {}
        self._begin_file()

    def _begin_file(self) -> None:
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}.jsonl"
        self._path = self._folder / FOLDER / name
        self._lines = self._lines_put = 0
        self._put_at = time.monotonic()

    def add(self, record: TaskRecord) -> None:
        """Append a line."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(record.to_json() + "\n")
        except OSError as error:
            raise output_error(self._path, error) from error
        self._lines += 1
        if self._lines >= MAX_LINES or time.monotonic() - self._put_at > PUT_SECONDS:
            self.put()

    def put(self) -> None:
        """Put into the store what was added since the last time, also by a process that was killed here."""
        if self._store is None:
            return
        for path in sorted((self._folder / FOLDER).glob("*.jsonl")):
            if path != self._path:
                self._store.upload(f"{FOLDER}/{path.name}", path)
                path.unlink()
            elif self._lines > self._lines_put:
                self._store.upload(f"{FOLDER}/{path.name}", path)
        self._lines_put, self._put_at = self._lines, time.monotonic()
        if self._lines >= MAX_LINES:
            self._begin_file()

    def read(self) -> dict[str, TaskRecord]:
        """Return the last record of each output; a line cut short by a kill is passed over."""
        records: dict[str, TaskRecord] = {}
        for text in self._texts():
            for line in text.splitlines():
                try:
                    record = TaskRecord.from_json(line)
                except ValidationError:
                    continue
                if record.output not in records or records[record.output].at <= record.at:
                    records[record.output] = record
        return records

    def _texts(self) -> Iterator[str]:
        if self._store is None:
            for path in sorted((self._folder / FOLDER).glob("*.jsonl")):
                yield path.read_text("utf-8")
            return
        self.put()
        self._sizes = dict(self._store.sizes())
        names = sorted(n for n in self._sizes if n.startswith(f"{FOLDER}/") and n.endswith(".jsonl"))
        with ThreadPoolExecutor(READERS) as pool:
            for content in pool.map(self._store.get, names):
                yield (content or b"").decode("utf-8", "replace")

    def is_done(self, task: Task, records: Mapping[str, TaskRecord]) -> bool:
        """Whether a task's output is there as it was written, and its source is still the same."""
        record = records.get(task.output)
        if record is None or record.state == "failed" or record.source != source_key(task.source):
            return False
        if record.stamp != stamp_of(task) or record.scale != task.scale:
            return False
        if record.state == "empty":
            return True
        if self._store is not None:  # as of the last `read`
            return self._sizes.get(task.output) == record.size
        path = self._folder / task.output
        return path.is_file() and path.stat().st_size == record.size

    def write_checksums(self, records: Iterable[TaskRecord]) -> Path:
        """Write the outputs' checksums for `sha256sum --check`."""
        path = self._folder / CHECKSUMS
        lines = sorted((r.output, r.sha256) for r in records if r.state == "done")
        atomic_write_text(path, "".join(f"{checksum}  {output}\n" for output, checksum in lines))
        return path


class CrashCounter:
    """Counts the processes here that began a task and did not live to tell: a file of as many bytes.

    A file that crashes its decoder, or needs more memory than there is, takes the process with it. It is
    tried again, but not without end.
    """

    def __init__(self, folder: Path, task: Task) -> None:
        name = hashlib.blake2b(task.output.encode(), digest_size=12).hexdigest()
        self._path = folder / FOLDER / "attempts" / name

    def begin(self) -> int:
        """Note one more, and return how many there were before."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            before = file.tell()
            file.write(b".")
        return before

    def count(self) -> int:
        """Return how many there are."""
        return self._path.stat().st_size if self._path.exists() else 0

    def end(self) -> None:
        """Forget them: the task has a record now."""
        self._path.unlink(missing_ok=True)


def source_key(source: str) -> str:
    """Return what a manifest calls a source: of an address with a query, which may sign it, a hash."""
    name = shown(source)
    return name if name == source else f"{name}#{hashlib.blake2b(source.encode(), digest_size=8).hexdigest()}"


def stamp_of(task: Task) -> tuple[int, int] | None:
    """Return the size and latest time of change of a task's source and its neighbours.

    None for addresses, or where a file does not exist.
    """
    sources = [task.source] if task.around is None else [sheet.source for sheet in task.around.sheets]
    try:
        found = [Path(source).stat() for source in sources]
    except OSError:
        return None
    return sum(about.st_size for about in found), max(about.st_mtime_ns for about in found)
