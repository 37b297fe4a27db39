"""Random crops at a random scale: what the same place looks like at another ground sample distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sat2map.data.augment import TURNS, Augment


class Window(NamedTuple):
    """A square of an image and how it is turned: its side, top and left in px, then three switches."""

    side: int
    top: int
    left: int
    mirror: bool
    upend: bool
    transpose: bool


def draw_windows(
    n: int,
    height: int,
    width: int,
    crop: int,
    octaves: tuple[float, float],
    kind: Augment,
    generator: torch.Generator,
) -> list[Window]:
    """Draw a window for each of n images of height × width px.

    Args:
        n: Images.
        height: Of the images (px).
        width: Of the images (px).
        crop: Side of the crops that the windows are resampled to (px).
        octaves: Lowest and highest log2 of the window's side over the crop's, so that -1 enlarges twice. A
            window is never larger than the image.
        kind: The symmetries to draw from (see `sat2map.data.augment.augment`).
        generator: Source of randomness, on the CPU.
    """
    low, high = octaves
    largest = min(height, width)
    scales = torch.exp2(low + (high - low) * torch.rand(n, generator=generator))
    sides = (scales * crop).round().long().clamp(max=largest)
    tops = (torch.rand(n, generator=generator) * (height - sides + 1)).long()
    lefts = (torch.rand(n, generator=generator) * (width - sides + 1)).long()
    turns = [torch.randint(values, (n,), generator=generator).bool() for values in TURNS[kind]]
    columns = [column.tolist() for column in (sides, tops, lefts, *turns)]
    return [Window(*row) for row in zip(*columns, strict=True)]


def cut_windows(
    sources: Tensor, labels: Tensor, windows: Sequence[Window], crop: int
) -> tuple[Tensor, Tensor]:
    """Cut a window out of each image and its label map, and resample it.

    Args:
        sources: uint8 (n, h, w, bands).
        labels: uint8 (n, h, w).
        windows: One for each image.
        crop: Side of the crops (px).

    Returns:
        The sources, averaged where they shrink and bilinear where they grow, float32 (n, bands, crop, crop)
        in [-1, 1], and the nearest labels, int64 (n, crop, crop).
    """
    size = [crop, crop]
    cut_sources, cut_labels = [], []
    for source, label, window in zip(sources, labels, windows, strict=True):
        rows = slice(window.top, window.top + window.side)
        columns = slice(window.left, window.left + window.side)
        pixels = source[rows, columns].permute(2, 0, 1)[None].float() / 127.5 - 1
        classes = label[rows, columns][None, None]
        if window.side != crop:
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
            classes = F.interpolate(classes, size, mode="nearest-exact")
        flipped = [axis for axis, flip in ((2, window.upend), (3, window.mirror)) if flip]
        pair = [part.flip(flipped) if flipped else part for part in (pixels, classes)]
        if window.transpose:
            pair = [part.transpose(2, 3) for part in pair]
        cut_sources.append(pair[0])
        cut_labels.append(pair[1][:, 0])
    return torch.cat(cut_sources), torch.cat(cut_labels).long()


def octaves_of(gsd: float, low: float, high: float) -> tuple[float, float]:
    """Return the range of scales, in octaves, that shows images of `gsd` m as `low` to `high` m per pixel."""
    return math.log2(low / gsd), math.log2(high / gsd)
