"""The table of a data set's pairs, a CSV file: which images belong together, their splits and places."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sat2map.errors import DataError, nearest

SPLITS = ("train", "val", "test")
CSV_NAME = "pairs.csv"


class PairRow(NamedTuple):
    """A pair as a table has it; `target` is None where `source` holds both images."""

    split: str
    source: Path
    target: Path | None
    group: str | None


def table_of(data: Path) -> Path | None:
    """Return the table of a data set, which is one or a folder with one; None where there is none."""
    table = data if data.is_file() else data / CSV_NAME
    return table if table.suffix.lower() == ".csv" and table.is_file() else None


def read_table(table: Path) -> tuple[Sequence[str], list[tuple[int, dict[str, str]]]]:
    """Return the columns of a table, and its rows with the numbers of their lines.

    Raises:
        DataError: It cannot be read as CSV.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
            return reader.fieldnames or [], rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read as CSV: {error}") from None


def read_pair_rows(table: Path, group_column: str | None) -> tuple[list[PairRow], bool]:
    """Return the pairs of a table, and whether it has a column of splits.

    Raises:
        DataError: It lacks a column, or names a file that does not exist or a split that is none.
    """
    columns, rows = read_table(table)
    sides = ["source", "target"] if "source" in columns else ["file"]
    needed = sides if group_column is None else [*sides, group_column]
    for column in needed:
        if column not in columns:
            _reject_separator(table, columns)
            raise DataError(
                f"{table} has no column '{column}' ({nearest(column, columns)}); "
                "it needs 'source' and 'target', or 'file' for side-by-side images"
            )
    found = []
    for line, row in rows:
        where = f"{table}, line {line}"
        for column in needed:
            if not row[column]:
                raise DataError(f"{where}: column '{column}' is empty")
        files = [table.parent / row[side] for side in sides]
        for path in files:
            if not path.is_file():
                if Path(str(path).replace("\\", "/")).is_file():
                    raise DataError(
                        f"{where}: the path of {path.name} has backslashes",
                        hint="write it with forward slashes",
                    )
                raise DataError(f"{where}: {path} does not exist")
        split = row.get("split") or _split_of(Path(row[sides[0]]))
        if split not in SPLITS:
            raise DataError(f"{where}: unknown split '{split}', {nearest(split, SPLITS)}")
        target = files[1] if len(files) > 1 else None
        found.append(
            PairRow(split, files[0], target, row[group_column] if group_column is not None else None)
        )
    return found, "split" in columns


def _reject_separator(table: Path, columns: Sequence[str]) -> None:
    """Name the cause where a table is not separated by commas."""
    for character, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(columns) == 1 and character in columns[0]:
            raise DataError(f"{table} is separated by {word}", hint="save it with commas, as CSV")


def _split_of(path: Path) -> str:
    """Read the split of `val/3.jpg` off its path, from the file upwards; anything else is train."""
    return next((part for part in reversed(path.parts[:-1]) if part in SPLITS), "train")
