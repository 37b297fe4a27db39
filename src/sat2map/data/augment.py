"""Owns augmentation: the same random geometry for both images of a pair, in batches, on the device."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Augment = Literal["none", "flip", "symmetries"]


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

    def draw(high: int) -> Tensor:
        return torch.randint(high, (batch or n, 1, 1), generator=generator)[rows].to(device)

    top, left = draw(height - crop + 1), draw(width - crop + 1)
    mirror = draw(2) if kind != "none" else torch.zeros(n, 1, 1, dtype=torch.long, device=device)
    upend, transpose = (draw(2), draw(2)) if kind == "symmetries" else (torch.zeros_like(mirror),) * 2

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

    def draw(bands: int) -> Tensor:
        drawn = torch.rand(batch or n, bands, 1, 1, generator=generator)[rows]
        return ((2 * drawn - 1) * strength).to(source.device)

    # The whole image varies more than one band against another, as light does.
    gain = 1 + 0.75 * draw(1) + 0.25 * draw(bands)
    offset = 0.75 * draw(1) + 0.25 * draw(bands)
    return (source * gain + offset).clamp(-1, 1)
