"""Soft map classes of an image: how near each pixel's colour is to each class of a palette."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sat2map.images.palette import Palette
from sat2map.images.palette.lab import TO_XYZ, srgb_to_lab

SHARPNESS = 1.0  # per unit of CIELAB distance; land, building and road of the *maps* palette lie 4 to 5 apart


class SoftPalette:
    """Class probabilities of every pixel of an image, by the distance of its colour, differentiably.

    The nearest colour in CIELAB decides a pixel's class when a map is scored (`Palette.classify`); here the
    probability of class c is the softmax of -distance·SHARPNESS to the nearest colour of c. A probability
    hardly changes with a colour that is far from all classes but one: those pixels are left to the L1 loss.
    """

    def __init__(self, palette: Palette, device: torch.device) -> None:
        """Put the palette's colours onto the device."""
        colours = [np.array(one.colours, np.uint8) for one in palette.classes]
        self._colours = torch.from_numpy(srgb_to_lab(np.concatenate(colours))).to(device)
        self._to_xyz = torch.from_numpy(TO_XYZ).float().to(device)
        self._counts = [len(one) for one in colours]

    def __call__(self, image: Tensor) -> Tensor:
        """Return the class probabilities.

        Args:
            image: float (n, 3, h, w) in [-1, 1].

        Returns:
            float32 (n, classes, h, w); sum to 1 over the classes.
        """
        lab = self._to_lab(image.float().movedim(1, -1))
        # |lab - colour|² but for |lab|², which all share.
        part = self._colours.square().sum(-1) - 2 * lab @ self._colours.T
        nearest = torch.stack([group.amin(-1) for group in torch.split(part, self._counts, dim=-1)], dim=1)
        squared = nearest + lab.square().sum(-1).unsqueeze(1)
        # Rounding may leave a little less than 0, and a root has no slope at 0.
        return torch.softmax(squared.clamp_min(1e-4).sqrt() * -SHARPNESS, dim=1)

    def _to_lab(self, unit: Tensor) -> Tensor:
        """Return CIELAB as `srgb_to_lab` does, of float (..., 3) in [-1, 1]."""
        rgb = (unit + 1) / 2
        # What lies on the other side of a kink is clamped, for a power of it might have no finite slope.
        linear = torch.where(rgb > 0.04045, ((rgb.clamp_min(0.04) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
        xyz = linear @ self._to_xyz.T
        f = torch.where(xyz > 0.008856, xyz.clamp_min(0.008) ** (1 / 3), 7.787 * xyz + 16 / 116)
        x, y, z = f.unbind(-1)
        return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1)
