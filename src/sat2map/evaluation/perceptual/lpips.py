"""LPIPS, the distance of two images by AlexNet's features, with the names of its published state dicts.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric"; version 0.1 of
the authors' weights, which scale the input (0.0 did not).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

LEAST_SIDE = 31  # px; below it AlexNet has no pixels left to pool
CHANNELS = (64, 192, 384, 256, 256)  # of the five layers that are compared
TAPS = (1, 4, 7, 9, 11)  # their ReLUs' numbers in `AlexNet.features`
# ImageNet's mean and deviation, said for pixels in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
EPSILON = 1e-10


class AlexNet(nn.Module):
    """AlexNet as torchvision names its layers (Krizhevsky 2014); `classifier` is there as the file has it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, 1000),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps of the five layers that LPIPS compares, for shifted and scaled images."""
        maps = []
        for number in range(TAPS[-1] + 1):
            x = self.features[number](x)
            if number in TAPS:
                maps.append(x)
        return maps


class LpipsHeads(nn.ModuleDict):
    """A weight for each channel of the five layers, as 1 x 1 convolutions behind a dropout that rests."""

    def __init__(self) -> None:
        def head(channels: int) -> nn.Module:
            return nn.ModuleDict(
                {"model": nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))}
            )

        super().__init__({f"lin{number}": head(channels) for number, channels in enumerate(CHANNELS)})

    def forward(self, number: int, x: Tensor) -> Tensor:
        """Weigh the squared differences of layer `number`, float (n, channels, h, w), into (n, 1, h, w)."""
        weighed: Tensor = self[f"lin{number}"]["model"](x)  # type: ignore[index]
        return weighed


class Lpips(nn.Module):
    """The distance of pictures; 0 for equal ones."""

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: AlexNet, heads: LpipsHeads) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = heads
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))

    def forward(self, fakes: Tensor, targets: Tensor) -> Tensor:
        """Return the distances of pairs of pictures.

        Args:
            fakes: float (n, 3, h, w) in [-1, 1], at least 31 px a side.
            targets: likewise.

        Returns:
            float (n,): the sum over layers of the mean over places of the weighed squared differences of
            features, each place's of length one.
        """
        pairs = zip(self._layers(fakes), self._layers(targets), strict=True)
        gaps = [
            self.heads(i, (fake - target) ** 2).mean(dim=(1, 2, 3)) for i, (fake, target) in enumerate(pairs)
        ]
        return torch.stack(gaps).sum(dim=0)

    @torch.inference_mode()
    def distance(self, fake: NDArray[np.uint8], target: NDArray[np.uint8]) -> float:
        """Return the distance of two images, uint8 (h, w, 3) each, at least 31 px a side."""
        images = torch.tensor(np.stack([fake, target]), device=self.shift.device).permute(0, 3, 1, 2)
        unit = images / 127.5 - 1
        return float(self(unit[:1], unit[1:]))

    def _layers(self, images: Tensor) -> list[Tensor]:
        maps = self.backbone((images - self.shift) / self.scale)
        return [x / (x.square().sum(dim=1, keepdim=True).sqrt() + EPSILON) for x in maps]
