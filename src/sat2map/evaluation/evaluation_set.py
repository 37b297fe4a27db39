"""Owns which pairs a model is scored on: found, split and read as its training did, unless told otherwise."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sat2map.data.cache import PairCache, open_cache
from sat2map.data.pairs import CSV_NAME, Splits, find_pairs
from sat2map.errors import SettingsError
from sat2map.models.model_file import ModelHeader

MIN_SIZE = 16  # px


@dataclass(frozen=True)
class HeldOut:
    """The pairs of one split, at one size, and the data set that they are from.

    Attributes:
        scored: The pairs to score.
        split: Their split.
        group_column: CSV column of their groups, or None.
        size: Side of the images (px).
    """

    scored: PairCache
    split: str
    group_column: str | None
    size: int
    _data: Path
    _splits: Splits
    _header: ModelHeader

    def train(self) -> PairCache | None:
        """Open the training pairs of the data set at the same size; None where it has none."""
        there = bool(self._splits.pairs.get("train"))
        return _open(self._splits, "train", self.size, self._header) if there else None

    def learned_by(self, header: ModelHeader) -> int:
        """Count the scored pairs that another model's training would have learned from, by its settings."""
        if not header.settings:  # imported, or of nobody's training
            return 0
        splits = find_pairs(self._data, **_cut(header, self._data))
        learned = {pair.files for pair in splits.pairs.get("train", ())}
        return sum(pair.files in learned for pair in self._splits[self.split])


def open_held_out(
    header: ModelHeader, data: Path, split: str, *, group_column: str | None = None, size: int | None = None
) -> HeldOut:
    """Open the pairs of a split.

    A val split that the data set lacks is cut as the model's training cut it (its share, seed and groups), so
    that no training pair is scored.

    Args:
        header: The model's; it says the direction and bands, and what is None below.
        data: Folder or CSV of pairs.
        split: Which of its splits.
        group_column: CSV column of places; None for the training's, where the data has it.
        size: Side to which images are resized (px); None for the model's image size.

    Raises:
        DataError: The data cannot be used, or has no such split.
        SettingsError: The size is too small.
    """
    size = size or header.typical_size
    if size < MIN_SIZE:
        raise SettingsError(f"size {size} is too small to tell anything: use {MIN_SIZE} px or more")
    cut = _cut(header, data)
    group_column = cut["group_column"] = group_column or cut["group_column"]
    splits = find_pairs(data, **cut)
    scored = _open(splits, split, size, header)
    return HeldOut(scored, split, group_column, size, data, splits, header)


def _cut(header: ModelHeader, data: Path) -> dict[str, Any]:
    """Return how a model's training cut a val split where there was none, by places if known here."""
    cut: dict[str, Any] = {
        name: header.settings[name] for name in ("val_fraction", "seed") if name in header.settings
    }
    group_column = header.settings.get("group_column")
    return {**cut, "group_column": group_column if group_column in _columns(data) else None}


def _open(splits: Splits, split: str, size: int, header: ModelHeader) -> PairCache:
    bands = (header.generator.source_bands, header.generator.target_bands)
    on_disk = bands if header.direction == "source-to-target" else bands[::-1]
    return open_cache(splits[split], size, direction=header.direction, bands=on_disk)


def _columns(data: Path) -> list[str]:
    """Columns of a data set's CSV; none where none can be read, which `find_pairs` puts better."""
    table = data if data.is_file() else data / CSV_NAME
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
