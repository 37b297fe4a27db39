"""What a data set says of itself in files beside its pairs: the palette of its maps, and its resolution."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

from sat2map.data.pairs import CSV_NAME

PALETTE_NAME: Final = "palette.json"


def palette_beside(data: Path) -> Path | None:
    """Return the palette file of a data set, a folder or a file in it; None where there is none."""
    path = (data if data.is_dir() else data.parent) / PALETTE_NAME
    return path if path.is_file() else None


def gsd_beside(data: Path) -> float | None:
    """Return the metres per pixel of a data set, from the column `gsd` of its CSV.

    None where there is no such column, or the pairs differ.
    """
    table = data if data.is_file() else data / CSV_NAME
    if table.suffix.lower() != ".csv" or not table.is_file():
        return None
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            found = {row.get("gsd") for row in csv.DictReader(file)}
        gsd = float(next(iter(found)) or "nan") if len(found) == 1 else 0.0
    except (OSError, ValueError, csv.Error):
        return None
    return gsd if 0 < gsd < float("inf") else None
