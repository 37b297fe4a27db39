"""What a data set says of itself in files beside its pairs: the palette of its maps, and its resolution."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sat2map.data.pair_table import read_table, table_of
from sat2map.errors import DataError

PALETTE_NAME: Final = "palette.json"


def palette_beside(data: Path) -> Path | None:
    """Return the palette file of a data set, a folder or a file in it; None where there is none."""
    path = (data if data.is_dir() else data.parent) / PALETTE_NAME
    return path if path.is_file() else None


def gsd_beside(data: Path) -> float | None:
    """Return the metres per pixel of a data set, from the column `gsd` of its CSV.

    None where there is no such column, or the pairs differ.
    """
    table = table_of(data)
    if table is None:
        return None
    try:
        found = {row.get("gsd") for _, row in read_table(table)[1]}
        gsd = float(next(iter(found)) or "nan") if len(found) == 1 else 0.0
    except (DataError, ValueError):
        return None
    return gsd if 0 < gsd < float("inf") else None
