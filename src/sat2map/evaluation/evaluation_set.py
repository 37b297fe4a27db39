"""The pairs that a model is scored on: found, split and read as in its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sat2map.data.cache import open_pairs
from sat2map.data.left_out import LeftOut
from sat2map.data.pair_cache import PairCache, PairFormat
from sat2map.data.pair_table import read_table, table_of
from sat2map.data.pairs import Splits, find_pairs
from sat2map.data.read_pair import pair_notes
from sat2map.errors import DataError, SettingsError
from sat2map.models.model_file import ModelHeader
from sat2map.settings import upgrade_settings

MIN_SIZE = 16  # px


@dataclass(frozen=True)
class EvaluationSet:
    """The pairs of one split: sources as the model sees them, targets as maps are compared."""

    inputs: PairCache
    scored: PairCache
    split: str
    group_column: str | None
    _data: Path
    _splits: Splits
    _header: ModelHeader

    @property
    def size(self) -> int:
        """Side of the maps that are compared (px)."""
        return int(self.scored.pixels.shape[1])

    @property
    def input_size(self) -> int:
        """Side of the sources that the model is given (px)."""
        return int(self.inputs.pixels.shape[1])

    @property
    def left_out(self) -> list[LeftOut]:
        """Images of the data set that no pair uses, and why."""
        return self._splits.left_out

    def notes(self) -> list[str]:
        """Return what is assumed of the first pair's files."""
        header = self._header
        return pair_notes(self._splits[self.split][0], _file_bands(header), header.limits)

    def train(self) -> PairCache | None:
        """Open the training pairs of the data set at the size of the targets; None where it has none."""
        has_train = bool(self._splits.pairs.get("train"))
        return _open(self._splits, "train", self.size, self._header) if has_train else None

    def inputs_for(self, header: ModelHeader) -> PairCache:
        """Open the same pairs at the size at which another model is given the sources."""
        return _open(self._splits, self.split, header.image_size, header)

    def count_trained_on(self, header: ModelHeader) -> int:
        """Count the scored pairs that another model was trained on, by the settings in its header."""
        if not header.settings:  # an imported model, of unknown training
            return 0
        splits = find_pairs(self._data, **_split_options(header, self._data))
        trained = {pair.files for pair in splits.pairs.get("train", ())}
        return sum(pair.files in trained for pair in self._splits[self.split])


def open_evaluation_set(
    header: ModelHeader, data: Path, split: str, *, group_column: str | None = None, size: int | None = None
) -> EvaluationSet:
    """Open the pairs of a split.

    A val split that the data set lacks is made as in the model's training (its share, seed and groups), so
    that no training pair is scored.

    Args:
        header: The model's; it decides the direction, the bands, and the size of the sources.
        data: Folder or CSV of pairs.
        split: Which of its splits.
        group_column: CSV column of places; None for the training's, where the data has it.
        size: Side at which maps are compared (px); None for the size of the sources.

    Raises:
        DataError: The data cannot be used, or has no such split.
        SettingsError: The size is too small.
    """
    if size is not None and size < MIN_SIZE:
        raise SettingsError(
            f"size {size} is too small to compare maps", hint=f"use {MIN_SIZE} px or more", setting="size"
        )
    options = _split_options(header, data)
    group_column = options["group_column"] = group_column or options["group_column"]
    splits = find_pairs(data, **options)
    inputs = _open(splits, split, header.image_size, header)
    same = size is None or size == inputs.pixels.shape[1]
    scored = inputs if same else _open(splits, split, size, header)
    return EvaluationSet(inputs, scored, split, group_column, data, splits, header)


def _split_options(header: ModelHeader, data: Path) -> dict[str, Any]:
    """Return how a model's training made a val split, as arguments of `find_pairs`."""
    settings = upgrade_settings(header.settings)
    options: dict[str, Any] = {
        name: settings[group][name]
        for group, name in (("data", "val_fraction"), ("compute", "seed"))
        if name in settings.get(group, {})
    }
    group_column = settings.get("data", {}).get("group_column")
    return {**options, "group_column": group_column if group_column in _columns(data) else None}


def _open(splits: Splits, split: str, size: int | None, header: ModelHeader) -> PairCache:
    how = PairFormat(size, header.direction, _file_bands(header), ignored=True, limits=header.limits)
    return open_pairs(splits[split], how)


def _file_bands(header: ModelHeader) -> tuple[int, int]:
    bands = (header.generator.source_bands, header.generator.target_bands)
    return bands if header.direction == "source-to-target" else bands[::-1]


def _columns(data: Path) -> Sequence[str]:
    """Return the columns of a data set's table; none where it cannot be read, which `find_pairs` reports."""
    table = table_of(data)
    try:
        return read_table(table)[0] if table else []
    except DataError:
        return []
