"""Random crops at a random scale: what the same place looks like at another ground sample distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sat2map.data.augment import TURNS
from sat2map.settings import Augment


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
    factors: tuple[float, float],
    kind: Augment,
    generator: torch.Generator,
) -> list[Window]:
    """Draw a window for each of n images of height × width px.

    Args:
        n: Images.
        height: Of the images (px).
        width: Of the images (px).
        crop: Side of the crops that the windows are resampled to (px).
        factors: Smallest and largest ratio of the window's side to the crop's, drawn evenly in octaves: 0.5
            enlarges twice. A window is never larger than the image.
        kind: The symmetries to draw from (see `sat2map.data.augment.augment`).
        generator: Source of randomness, on the CPU.
    """
    low, high = (math.log2(factor) for factor in factors)
    largest = min(height, width)
    scales = torch.exp2(low + (high - low) * torch.rand(n, generator=generator))
    sides = (scales * crop).round().long().clamp(max=largest)
    tops = (torch.rand(n, generator=generator) * (height - sides + 1)).long()
    lefts = (torch.rand(n, generator=generator) * (width - sides + 1)).long()
    turns = [torch.randint(values, (n,), generator=generator).bool() for values in TURNS[kind]]
    columns = [column.tolist() for column in (sides, tops, lefts, *turns)]
    return [Window(*row) for row in zip(*columns, strict=True)]


def cut_windows(
    pairs: Sequence[Tensor], windows: Sequence[Window], crop: int, *, labels: bool
) -> tuple[Tensor, Tensor | None]:
    """Cut a window out of each pair and resample it.

    Args:
        pairs: uint8 (h, w, bands) each; views of a memory map are read only where a window lies.
        windows: One per pair.
        crop: Side of the crops (px).
        labels: Whether the last band is a label map.

    Returns:
        The images, averaged where they shrink and bilinear where they grow, in whole levels as a photo has,
        float32 (n, bands, crop, crop) in [-1, 1]; and the nearest labels, int64 (n, crop, crop), or None.
    """
    bands, device = pairs[0].shape[2] - labels, pairs[0].device
    levels = torch.empty(len(pairs), bands, crop, crop, dtype=torch.uint8, device=device)
    label_maps = torch.empty(len(pairs), crop, crop, dtype=torch.long, device=device)
    for image, label_map, pair, window in zip(levels, label_maps, pairs, windows, strict=True):
        rows = slice(window.top, window.top + window.side)
        columns = slice(window.left, window.left + window.side)
        cut = pair[rows, columns].permute(2, 0, 1)[None]
        image.copy_(_turn(_resample(cut[:, :bands], crop), window)[0])
        if labels:
            label_map.copy_(_turn(_nearest(cut[:, -1:], crop), window)[0, 0])
    return levels.float().div_(127.5).sub_(1), label_maps if labels else None


def _resample(cut: Tensor, crop: int) -> Tensor:
    """Resample uint8 (1, bands, side, side) to `crop`."""
    if cut.shape[2] == crop:
        return cut
    # On a CPU bytes take half the time of numbers; a GPU has no such kernel.
    given = cut.contiguous(memory_format=torch.channels_last) if cut.device.type == "cpu" else cut.float()
    found = F.interpolate(given, [crop, crop], mode="bilinear", antialias=True)
    return found if found.dtype == torch.uint8 else found.round_()


def _nearest(cut: Tensor, crop: int) -> Tensor:
    return cut if cut.shape[2] == crop else F.interpolate(cut, [crop, crop], mode="nearest-exact")


def _turn(cut: Tensor, window: Window) -> Tensor:
    flipped = [axis for axis, flip in ((2, window.upend), (3, window.mirror)) if flip]
    cut = cut.flip(flipped) if flipped else cut
    return cut.transpose(2, 3) if window.transpose else cut
