"""Tasks of a bulk job: a whole source each, or a window of a very large one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic import TypeAdapter

from sat2map.errors import SettingsError

Window = tuple[int, int, int, int]


class Sheet(NamedTuple):
    """A file and its place on the common grid (px)."""

    source: str
    column: int
    row: int
    width: int
    height: int


@dataclass(frozen=True)
class Neighbourhood:
    """A sheet and those around it.

    Attributes:
        width: Columns of the common grid.
        height: Its rows.
        sheets: The neighbours, and the sheet itself at the end.
        whole: Whether the sheets leave no gap around it.
    """

    width: int
    height: int
    sheets: tuple[Sheet, ...]
    whole: bool

    @property
    def own(self) -> Sheet:
        """The sheet itself."""
        return self.sheets[-1]


@dataclass(frozen=True)
class Task:
    """One output to make.

    Attributes:
        source: A path or an address.
        output: Its file, relative to the job's folder.
        window: Column, row, width and height of the part; None: all of it.
        scale: Limits of the source's bands, measured once over all sources of its type; None: 8 bits.
        around: The neighbouring sheets, where it has some.
    """

    source: str
    output: str
    window: Window | None = None
    scale: tuple[float, ...] | None = None
    around: Neighbourhood | None = None

    @property
    def is_raster(self) -> bool:
        """Whether its source is for GDAL; else it is an image."""
        return self.output.endswith(".tif")

    def to_json(self) -> str:
        """Return it as one line."""
        return _TASK.dump_json(self).decode()

    @classmethod
    def from_json(cls, line: str) -> Task:
        """Read what `to_json` returns."""
        return _TASK.validate_json(line)


_TASK: Final = TypeAdapter(Task)


@dataclass(frozen=True)
class Mosaic:
    """A source that was cut: its windows' outputs are put together again, under a name without a suffix."""

    name: str
    height: int
    width: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class BulkPlan:
    """All tasks of a job, in an order that depends on the inputs alone, what was cut, and notes."""

    tasks: tuple[Task, ...]
    mosaics: tuple[Mosaic, ...] = ()
    notes: tuple[str, ...] = ()

    def shard(self, number: int, count: int) -> tuple[Task, ...]:
        """Return every `count`-th task from `number` on: the shards are equal to within one task.

        Raises:
            SettingsError: There is no such shard.
        """
        if count < 1 or not 0 <= number < count:
            raise SettingsError(
                f"there is no shard {number}/{count}",
                hint=f"shards count from 0, so {count} of them are 0/{count} to {count - 1}/{count}",
                setting="shard",
            )
        return self.tasks[number::count]
