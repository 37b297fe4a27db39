"""Augmentation: the same random geometry for both images of a pair, in batches, on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from sat2map.settings import Augment

# How many values mirror, upend and transpose each can take.
TURNS: dict[Augment, tuple[int, int, int]] = {"none": (1, 1, 1), "flip": (2, 1, 1), "symmetries": (2, 2, 2)}
ALL = slice(None)


def augment(
    pairs: Tensor,
    crop: int,
    kind: Augment,
    generator: torch.Generator,
    *,
    batch: int | None = None,
    rows: slice = ALL,
) -> Tensor:
    """Cut a random crop from every pair and turn it by a random symmetry.

    One gather does all of it. The bands of both images lie in the last axis of one tensor, so what happens to
    the source happens to the target.

    Args:
        pairs: uint8 (n, h, w, bands); the bands of both images.
        crop: Side of the crop (px), at most h and w.
        kind: `none` only crops, `flip` mirrors half of them left to right (the paper's), `symmetries` draws
            one of the eight symmetries of the square.
        generator: Source of randomness, on the CPU.
        batch: How many pairs are drawn for; None: as many as are given.
        rows: Which of them are given.

    Returns:
        uint8 (n, crop, crop, bands) on the device of `pairs`.
    """
    n, height, width, _ = pairs.shape
    device = pairs.device

    # Top, left, mirror, upend, transpose: how many values each can take.
    choices = [height - crop + 1, width - crop + 1, *TURNS[kind]]
    drawn = [torch.randint(high, (batch or n, 1, 1), generator=generator)[rows] for high in choices]
    # To a GPU in one copy, not five.
    top, left, mirror, upend, transpose = torch.stack(drawn).to(device, non_blocking=True)

    side = torch.arange(crop, device=device)
    i, j = side.view(1, -1, 1), side.view(1, 1, -1)
    i, j = torch.where(transpose == 1, j, i), torch.where(transpose == 1, i, j)
    row = top + torch.where(upend == 1, crop - 1 - i, i)
    column = left + torch.where(mirror == 1, crop - 1 - j, j)
    return pairs[torch.arange(n, device=device).view(n, 1, 1), row, column]


def jitter_colors(
    source: Tensor,
    strength: float,
    generator: torch.Generator,
    *,
    batch: int | None = None,
    rows: slice = ALL,
) -> Tensor:
    """Give every image and band a random gain and offset: another sun, haze or sensor.

    Args:
        source: float (n, bands, h, w) in [-1, 1].
        strength: Gains lie in 1 ± strength (contrast about mid-grey), offsets in ± strength.
        generator: Source of randomness, on the CPU.
        batch: How many images are drawn for; None: as many as are given.
        rows: Which of them are given.

    Returns:
        The same shape, clipped to [-1, 1].
    """
    if strength == 0:
        return source
    n, bands = source.shape[:2]

    sizes = [1, bands, 1, bands]
    drawn = [torch.rand(batch or n, size, 1, 1, generator=generator)[rows] for size in sizes]
    moved = ((2 * torch.cat(drawn, dim=1) - 1) * strength).to(source.device, non_blocking=True)
    all_gain, gain, all_offset, offset = torch.split(moved, sizes, dim=1)
    # The whole image varies more than one band against another, as light does.
    return (source * (1 + 0.75 * all_gain + 0.25 * gain) + 0.75 * all_offset + 0.25 * offset).clamp(-1, 1)
