"""The PatchGAN discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sat2map.models.architectures.blocks import make_norm, needs_bias
from sat2map.settings import Norm


class PatchGAN(nn.Module):
    """The conditional PatchGAN of Isola et al. 2017 (appendix 6.1.2): C64-C128-C256-C512, one logit a patch.

    With three strided layers each logit sees 70×70 pixels; 2.77 M parameters at width 64 and 3 + 3 bands.
    """

    def __init__(self, bands: int, *, width: int = 64, layers: int = 3, norm: Norm = "batch") -> None:
        super().__init__()
        channels = [min(2**i, 8) * width for i in range(layers + 1)]
        body: list[nn.Module] = [nn.Conv2d(bands, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for i in range(1, layers + 1):
            stride = 2 if i < layers else 1
            body += [
                nn.Conv2d(channels[i - 1], channels[i], 4, stride=stride, padding=1, bias=needs_bias(norm)),
                make_norm(norm, channels[i]),
                nn.LeakyReLU(0.2),
            ]
        body.append(nn.Conv2d(channels[-1], 1, 4, padding=1))
        self.body = nn.Sequential(*body)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Judge pairs.

        Args:
            source: float (n, source_bands, h, w) in [-1, 1].
            target: float (n, target_bands, h, w) in [-1, 1], real or fake.

        Returns:
            Logits (n, 1, h/8 - 2, w/8 - 2) with three layers; positive means real.
        """
        logits: Tensor = self.body(torch.cat([source, target], dim=1))
        return logits
