"""The batches: which pairs a step sees, and how they are cropped, turned and varied."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sat2map.data.augment import augment, jitter_colors
from sat2map.data.pair_cache import PairCache, PairFormat
from sat2map.data.photometry import PhotoJitter, jitter_photos
from sat2map.data.scale_jitter import cut_windows, draw_windows
from sat2map.data.stream import ShardStream
from sat2map.errors import SettingsError
from sat2map.images.palette import Palette
from sat2map.images.palette.labels import IGNORED
from sat2map.images.pixels import tensor_to_unit
from sat2map.runtime import generator_for
from sat2map.settings import DataSettings
from sat2map.training.distributed import SINGLE_PROCESS, DistributedContext
from sat2map.training.step import Batch

FREQUENCY_SAMPLE = 256  # pairs whose pixels are counted for the class frequencies


class Batches:
    """The batch of every step, as a function of the seed and the step's number alone.

    An epoch is a random order of all pairs, cut into whole batches; the few pairs left over are seen in other
    epochs. Several processes draw the same batch, and each takes its rows.

    Attributes:
        size: Pairs in a batch, over all processes; there may be fewer pairs than `batch_size`.
        per_epoch: Batches in an epoch.

    Raises:
        SettingsError: There are fewer pairs in a batch than processes.
    """

    def __init__(
        self,
        pairs: PairCache | ShardStream,
        how: PairFormat,
        settings: DataSettings,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        context: DistributedContext = SINGLE_PROCESS,
    ) -> None:
        self._how, self._settings, self._seed = how, settings, seed
        self._jitter = PhotoJitter().scaled(settings.photo_jitter) if settings.photo_jitter else None
        self._choose = _chooser(pairs, seed, device)
        self.size = min(batch_size, len(pairs))
        if context.size > 1 and self.size < batch_size:
            raise SettingsError(
                f"batch_size {batch_size} is more than the {len(pairs)} pairs to train on",
                hint="lower it",
                setting="batch_size",
            )
        self.per_epoch = len(pairs) // self.size
        self._rows = context.rows(self.size)
        self._share = (self._rows.stop - self._rows.start) * context.size / self.size

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step, or this process's rows of it, on the device."""
        settings = self._settings
        epoch, i = divmod(step, self.per_epoch)
        chosen = self._choose(epoch, range(i * self.size, (i + 1) * self.size)[self._rows])
        generator = generator_for(self._seed, "augment", step)
        part: dict[str, Any] = {"batch": self.size, "rows": self._rows}
        has_labels = self._how.palette is not None
        if settings.scale_jitter == (1.0, 1.0):
            pairs = augment(_stack(chosen), settings.crop_size, settings.augment, generator, **part)
            labels = pairs[..., -1].long() if has_labels else None
            # (n, h, w, bands) seen as (n, bands, h, w) is channels_last: no copy.
            images = tensor_to_unit(pairs[..., : pairs.shape[3] - has_labels].permute(0, 3, 1, 2))
        else:
            height, width = chosen[0].shape[:2]
            windows = draw_windows(
                self.size,
                height,
                width,
                settings.crop_size,
                settings.scale_jitter,
                settings.augment,
                generator,
            )[self._rows]
            images, labels = cut_windows(chosen, windows, settings.crop_size, labels=has_labels)
        bands = self._how.source_bands
        source, target = images[:, :bands], images[:, bands:] if self._how.targets else None
        source = jitter_colors(source, settings.color_jitter, generator, **part)
        if self._jitter is not None:
            source = jitter_photos(source, self._jitter, generator, **part)
        return Batch(source.contiguous(memory_format=torch.channels_last), target, labels, self._share)


def _stack(pairs: list[Tensor] | Tensor) -> Tensor:
    return pairs if isinstance(pairs, Tensor) else torch.stack(pairs)


def _chooser(
    pairs: PairCache | ShardStream, seed: int, device: torch.device
) -> Callable[[int, range], list[Tensor]]:
    """Return the function that gives the pairs at positions of an epoch's order, uint8, on the device."""
    if isinstance(pairs, ShardStream):
        return lambda epoch, positions: list(torch.from_numpy(pairs.choose(epoch, positions)).to(device))
    # On a CPU this shares the memory map; on a GPU the whole set moves there once.
    pixels = torch.from_numpy(pairs.pixels).to(device)

    @lru_cache(maxsize=1)
    def order(epoch: int) -> list[int]:
        shuffled: list[int] = torch.randperm(
            len(pixels), generator=generator_for(seed, "order", epoch)
        ).tolist()
        return shuffled

    return lambda epoch, positions: [pixels[i] for i in order(epoch)[positions.start : positions.stop]]


def class_frequencies(pairs: PairCache | ShardStream, palette: Palette) -> Tensor:
    """Return each class's share of the target pixels that are not ignored, over evenly spaced pairs.

    Returns:
        float64 (classes,), sums to 1.
    """
    cache = pairs.sample if isinstance(pairs, ShardStream) else pairs
    chosen = np.linspace(0, len(cache) - 1, min(FREQUENCY_SAMPLE, len(cache))).astype(int)
    counts = np.zeros(256, np.int64)
    for i in chosen:
        counts += np.bincount(cache.labels[i].ravel(), minlength=256)
    counts[IGNORED] = 0
    by_class = np.bincount(
        palette.class_of_colour, counts[: len(palette.colours)], minlength=len(palette.classes)
    )
    return torch.from_numpy(by_class / max(1.0, by_class.sum()))
