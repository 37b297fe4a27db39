"""Opens the pairs of a training: a cache of decoded images, or a stream of shards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sat2map.data.band_limits import measure_band_limits
from sat2map.data.cache import open_pairs
from sat2map.data.left_out import count_left_out
from sat2map.data.pair_cache import PairCache, PairFormat
from sat2map.data.pairs import Splits, find_pairs, first_unpaired
from sat2map.data.read_pair import pair_notes, read_pair_size
from sat2map.data.shards import find_index
from sat2map.data.stream import ShardStream, open_shards
from sat2map.errors import DataError
from sat2map.images.bands import Limits
from sat2map.images.levels import text_of
from sat2map.images.palette import Palette
from sat2map.models.architectures.registry import find_architecture
from sat2map.settings import TrainSettings

Report = Callable[[str], None]


@dataclass(frozen=True)
class TrainingData:
    """Training and validation pairs, and how the former are read.

    Attributes:
        source_scale: Pixels of the files per pixel of the input, where images are resized; None: unknown.
    """

    train: PairCache | ShardStream
    val: PairCache
    how: PairFormat
    source_scale: float | None = None


def open_data(
    settings: TrainSettings, palette: Palette | None, known: Limits | None, report: Report
) -> TrainingData:
    """Open the pairs to train on and those to validate on.

    Args:
        settings: With nothing left at auto.
        palette: Colours of the label maps that are made of the targets; None: none are made.
        known: Limits of the bands that the model to start from was trained with.
        report: Called with what a user should know.

    Raises:
        DataError: The pairs cannot be used.
        SettingsError: The settings do not fit them.
    """
    data, compute = settings.data, settings.compute
    # A palette generator learns from label maps alone.
    targets = not find_architecture(settings.network.generator).gives_colours
    train = PairFormat(data.load_size, data.direction, data.file_bands, palette, targets)
    val = PairFormat(data.image_size, data.direction, data.file_bands, palette, ignored=True)
    index = find_index(data.path)
    if index is not None:
        stream, val_cache = open_shards(index, train, val, seed=compute.seed, workers=compute.workers)
        return TrainingData(stream, val_cache, train)
    splits = find_pairs(
        data.path, group_column=data.group_column, val_fraction=data.val_fraction, seed=compute.seed
    )
    if splits.unpaired_files:
        raise DataError(
            f"{first_unpaired(splits.unpaired_files)} has no partner",
            hint=f"add it or move the file away; a check of {data.path} lists all",
        )
    if data.direction == "source-to-target":
        limits, about_limits = measure_band_limits(splits["train"], data.source_bands)
        if limits is not None and known is not None and len(known) == len(limits):
            limits, about_limits = known, f"the sources are read as the model's: {text_of(known)}"
        if about_limits:
            report(about_limits)
        train, val = replace(train, limits=limits), replace(val, limits=limits)
    for note in pair_notes(splits["train"][0], data.file_bands, train.limits):
        report(f"{note}; likewise of the other pairs")
    if splits.left_out:
        report(count_left_out(splits.left_out, data.path))
    caches = {
        split: open_pairs(splits[split], how, workers=compute.workers, progress=_decoding(split, report))
        for split, how in (("train", train), ("val", val))
    }
    return TrainingData(caches["train"], caches["val"], train, _source_scale(splits, data.image_size))


def _decoding(split: str, report: Report) -> Callable[[int, int], None]:
    """Return a function that reports how decoding goes, after a second and then every five."""
    began = time.monotonic()
    last = began - 4

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 5:
            last = now
            left = (now - began) / done * (total - done)
            report(f"decoding the {split} pairs into the cache: {done} of {total}, {left:.0f} s left")

    return progress


def _source_scale(splits: Splits, image_size: int | None) -> float | None:
    if image_size is None:
        return None
    height, width = read_pair_size(splits["train"][0])
    return max(height, width) / image_size
