"""Owns the residual U-Net generator: the U-Net, refined where its map has lines."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sat2map.nets.blocks import has_bias, make_norm
from sat2map.nets.unet import UNet, split_tanh
from sat2map.settings import GeneratorSpec

REFINED_LEVELS = 3  # a half, a quarter and an eighth of the size: where roads and houses are still apart


class Refinement(nn.Module):
    """x + norm(conv3×3(ReLU(x))), (n, channels, h, w); starts as the identity (see `init_weights`)."""

    def __init__(self, channels: int, spec: GeneratorSpec) -> None:
        super().__init__()
        self.activation = nn.ReLU()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=has_bias(spec, normed=True))
        self.norm = make_norm(spec.norm, channels)

    def start_as_identity(self) -> None:
        """Zero the last layer that has weights: the residual is then nothing."""
        last = self.norm if getattr(self.norm, "weight", None) is not None else self.conv
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 - the class says it
        y: Tensor = x + self.norm(self.conv(self.activation(x)))
        return y


class Finish(nn.Module):
    """y + conv3×3(ReLU(norm(conv3×3([source, y])))): the last word at full size, with the photo in sight.

    The U-Net's own skips begin at half the size, so lines of one pixel reach its output by no short way.
    """

    def __init__(self, outputs: int, spec: GeneratorSpec) -> None:
        super().__init__()
        hidden = max(1, spec.width // 2)
        bias = has_bias(spec, normed=True)
        self.inner = nn.Conv2d(spec.source_bands + outputs, hidden, 3, padding=1, bias=bias)
        self.norm = make_norm(spec.norm, hidden)
        self.activation = nn.ReLU()
        self.outer = nn.Conv2d(hidden, outputs, 3, padding=1)

    def start_as_identity(self) -> None:
        """Zero the last layer: the residual is then nothing."""
        nn.init.zeros_(self.outer.weight)

    def forward(self, source: Tensor, y: Tensor) -> Tensor:  # noqa: D102 - the class says it
        inner = self.activation(self.norm(self.inner(torch.cat([source, y], dim=1))))
        z: Tensor = y + self.outer(inner)
        return z


class ResUNet(UNet):
    """The U-Net with a residual convolution after each layer of the outer three levels and one at full size.

    Zhang, Liu & Wang 2018, "Road Extraction by Deep Residual U-Net", in a light form: the paper's layers stay
    as they are, and every addition starts as the identity. A trained U-Net of the same width and depth so
    grows into one (`sat2map train --generator resunet --init-from`).
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        levels = [min(2**i, 8) * spec.width for i in range(min(REFINED_LEVELS, spec.depth - 1))]
        self.refine_down = nn.ModuleList(Refinement(channels, spec) for channels in levels)
        self.refine_up = nn.ModuleList(Refinement(channels, spec) for channels in levels)
        self.finish = Finish(spec.target_bands + spec.classes, spec)

    def forward(self, source: Tensor) -> Tensor:
        """Translate a batch; shapes and ranges as in `UNet.forward`."""
        skips = []
        x = source
        for i, down in enumerate(self.down):
            x = down(x)
            if i < len(self.refine_down):
                x = self.refine_down[i](x)
            skips.append(x)
        x = skips.pop()
        for i in range(len(self.up) - 1, 0, -1):
            x = self.up[i](x)
            if i <= len(self.refine_up):
                x = self.refine_up[i - 1](x)
            x = torch.cat([x, skips.pop()], dim=1)
        return split_tanh(self.finish(source, self.up[0](x)), self.target_bands)
