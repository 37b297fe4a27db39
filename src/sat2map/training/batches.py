"""Owns the batches: which pairs a step sees, how they are cropped and turned, and their map classes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sat2map.data.augment import augment, jitter_colors
from sat2map.data.cache import PairCache
from sat2map.palette import Palette
from sat2map.pixels import tensor_to_unit
from sat2map.runtime import generator_for
from sat2map.settings import TrainSettings
from sat2map.training.step import Batch

FREQUENCY_SAMPLE = 256  # pairs whose pixels are counted for the class frequencies


class Batches:
    """The batch of every step, as a function of the seed and the step's number alone.

    An epoch is a random order of all pairs, cut into whole batches; the few pairs left over have their turn
    in other epochs.

    Attributes:
        per_epoch: Batches in an epoch.
    """

    def __init__(
        self, cache: PairCache, settings: TrainSettings, palette: Palette | None, device: torch.device
    ) -> None:
        self._settings = settings
        self._source_bands = cache.source_bands
        # On a CPU this shares the memory map; on a GPU the whole set moves there once.
        self._pixels = torch.from_numpy(cache.pixels).to(device)
        self._lookup = None if palette is None else torch.from_numpy(palette.lookup()).to(device)
        self._device = device
        self.size = min(settings.batch_size, len(cache))
        self.per_epoch = len(cache) // self.size

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step, on the device."""
        settings = self._settings
        epoch, i = divmod(step, self.per_epoch)
        order = torch.randperm(len(self._pixels), generator=generator_for(settings.seed, "order", epoch))
        chosen = order[i * self.size : (i + 1) * self.size].to(self._device)
        generator = generator_for(settings.seed, "augment", step)
        pairs = augment(self._pixels[chosen], settings.crop_size, settings.augment, generator)
        # (n, h, w, bands) seen as (n, bands, h, w) is channels_last: no copy.
        both = tensor_to_unit(pairs.permute(0, 3, 1, 2))
        source, target = both[:, : self._source_bands], both[:, self._source_bands :]
        classes = None if self._lookup is None else look_up(self._lookup, pairs[..., self._source_bands :])
        return Batch(jitter_colors(source, settings.color_jitter, generator), target, classes)


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


def class_frequencies(cache: PairCache, palette: Palette) -> list[float]:
    """Return each class's share of the target pixels, over evenly spaced pairs."""
    chosen = np.linspace(0, len(cache) - 1, min(FREQUENCY_SAMPLE, len(cache))).astype(int)
    table = torch.from_numpy(palette.lookup())
    counts = torch.zeros(len(palette.classes), dtype=torch.long)
    for i in chosen:
        classes = look_up(table, torch.from_numpy(np.array(cache.targets[i]))[None])
        counts += torch.bincount(classes.flatten(), minlength=len(counts))
    return [float(count) / float(counts.sum()) for count in counts]
