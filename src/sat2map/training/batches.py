"""Owns the batches: which pairs a step sees, how they are cropped and turned, and their map classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sat2map.data.augment import augment, jitter_colors
from sat2map.data.cache import PairCache
from sat2map.data.stream import ShardStream
from sat2map.errors import SettingsError
from sat2map.images.palette import Palette
from sat2map.images.pixels import tensor_to_unit
from sat2map.runtime import generator_for
from sat2map.settings import TrainSettings
from sat2map.training.distributed import ALONE, Team
from sat2map.training.step import Batch

FREQUENCY_SAMPLE = 256  # pairs whose pixels are counted for the class frequencies


class Batches:
    """The batch of every step, as a function of the seed and the step's number alone.

    An epoch is a random order of all pairs, cut into whole batches; the few pairs left over have their turn
    in other epochs. Several processes draw the same batch, and each takes its rows.

    Attributes:
        size: Pairs in a batch, over all processes.
        per_epoch: Batches in an epoch.

    Raises:
        SettingsError: There are fewer pairs in a batch than processes.
    """

    def __init__(
        self,
        pairs: PairCache | ShardStream,
        settings: TrainSettings,
        palette: Palette | None,
        device: torch.device,
        team: Team = ALONE,
    ) -> None:
        self._settings = settings
        self._source_bands = pairs.source_bands
        self._choose = _chooser(pairs, settings.seed, device)
        self._lookup = None if palette is None else torch.from_numpy(palette.lookup()).to(device)
        self._device = device
        self.size = min(settings.batch_size, len(pairs))
        if team.size > 1 and self.size < settings.batch_size:
            raise SettingsError(
                f"batch_size {settings.batch_size} is more than the {len(pairs)} pairs to train on: lower it"
            )
        self.per_epoch = len(pairs) // self.size
        self._rows = team.rows(self.size)
        self._share = (self._rows.stop - self._rows.start) * team.size / self.size

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step, or this process's rows of it, on the device."""
        settings = self._settings
        epoch, i = divmod(step, self.per_epoch)
        chosen = self._choose(epoch, range(i * self.size, (i + 1) * self.size)[self._rows])
        generator = generator_for(settings.seed, "augment", step)
        part: dict[str, Any] = {"batch": self.size, "rows": self._rows}
        pairs = augment(chosen, settings.crop_size, settings.augment, generator, **part)
        # (n, h, w, bands) seen as (n, bands, h, w) is channels_last: no copy.
        both = tensor_to_unit(pairs.permute(0, 3, 1, 2))
        source, target = both[:, : self._source_bands], both[:, self._source_bands :]
        classes = None if self._lookup is None else look_up(self._lookup, pairs[..., self._source_bands :])
        source = jitter_colors(source, settings.color_jitter, generator, **part)
        return Batch(source, target, classes, self._share)


def _chooser(
    pairs: PairCache | ShardStream, seed: int, device: torch.device
) -> Callable[[int, range], Tensor]:
    """Return the function that gives the pairs at positions of an epoch's order, uint8, on the device."""
    if isinstance(pairs, ShardStream):
        return lambda epoch, positions: torch.from_numpy(pairs.choose(epoch, positions)).to(device)
    # On a CPU this shares the memory map; on a GPU the whole set moves there once.
    pixels = torch.from_numpy(pairs.pixels).to(device)

    @lru_cache(maxsize=1)
    def order(epoch: int) -> Tensor:
        return torch.randperm(len(pixels), generator=generator_for(seed, "order", epoch)).to(device)

    return lambda epoch, positions: pixels[order(epoch)[positions.start : positions.stop]]


def look_up(table: Tensor, rgb: Tensor) -> Tensor:
    """Return map classes from a table of `Palette.lookup` with 6 bits a channel.

    Args:
        table: uint8 (2**18,).
        rgb: uint8 (n, h, w, 3).

    Returns:
        int64 (n, h, w).
    """
    red, green, blue = (rgb >> 2).long().unbind(-1)
    return table[red << 12 | green << 6 | blue].long()


def class_frequencies(pairs: PairCache | ShardStream, palette: Palette) -> list[float]:
    """Return each class's share of the target pixels, over evenly spaced pairs."""
    cache = pairs.sample if isinstance(pairs, ShardStream) else pairs
    chosen = np.linspace(0, len(cache) - 1, min(FREQUENCY_SAMPLE, len(cache))).astype(int)
    table = torch.from_numpy(palette.lookup())
    counts = torch.zeros(len(palette.classes), dtype=torch.long)
    for i in chosen:
        classes = look_up(table, torch.from_numpy(np.array(cache.targets[i]))[None])
        counts += torch.bincount(classes.flatten(), minlength=len(counts))
    return [float(count) / float(counts.sum()) for count in counts]
