"""The U-Net of a widely read tutorial on maps from satellite images, so that its checkpoints run."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.architectures.unet.network import Down, UNet, Up, split_tanh


class TutorialUNet(UNet):
    """The U-Net of the paper with three differences, which change no weight's name or shape.

    The encoder pads by reflection, but for its innermost layer. Skips are not rectified: they keep what
    LeakyReLU leaves of negative values. Inside, images lie in [0, 1]: the tanh's negative half is black.
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        for down, up in zip(list(self.down)[:-1], list(self.up)[:-1], strict=True):
            assert isinstance(down, Down)
            assert isinstance(up, Up)
            down.conv.padding_mode = "reflect"
            up.activation = nn.Identity()

    def forward(self, source: Tensor) -> Tensor:
        """Translate a batch; shapes and ranges as in `UNet.forward`."""
        skips = []
        x = (source + 1) / 2
        for down in self.down:
            x = down(x)
            skips.append(F.leaky_relu(x, 0.2))
        skips.pop()
        x = self.up[-1](x)
        for up in reversed(list(self.up)[:-1]):
            x = up(torch.cat([x.relu(), skips.pop()], dim=1))
        out = split_tanh(x, self.target_bands)
        image = 2 * out[:, : self.target_bands].relu() - 1
        return torch.cat([image, out[:, self.target_bands :]], dim=1)
