"""The U-Net generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sat2map.models.architectures.blocks import has_bias, make_norm, make_upsampling
from sat2map.models.architectures.spec import GeneratorSpec

DROPOUT_LAYERS = 3  # the paper's CD512 CD512 CD512: the innermost three of the decoder


class Down(nn.Module):
    """LeakyReLU(0.2), 4×4 convolution of stride 2, norm: (n, inputs, h, w) → (n, outputs, h/2, w/2)."""

    def __init__(self, inputs: int, outputs: int, spec: GeneratorSpec, *, first: bool, last: bool) -> None:
        super().__init__()
        # The paper leaves the norm out of the first layer. At one pixel it has nothing to measure either.
        plain = first or last
        self.activation = nn.Identity() if first else nn.LeakyReLU(0.2)
        self.conv = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=has_bias(spec, normed=not plain))
        self.norm = nn.Identity() if plain else make_norm(spec.norm, outputs)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 - the class says it
        y: Tensor = self.norm(self.conv(self.activation(x)))
        return y


class Up(nn.Module):
    """ReLU, upsampling convolution, norm, dropout: (n, inputs, h, w) → (n, outputs, 2h, 2w)."""

    def __init__(self, inputs: int, outputs: int, spec: GeneratorSpec, *, dropout: float, last: bool) -> None:
        super().__init__()
        self.activation: nn.Module = nn.ReLU()
        bias = has_bias(spec, normed=not last, last=last)
        self.conv = make_upsampling(spec.upsample, inputs, outputs, bias=bias)
        self.norm = nn.Identity() if last else make_norm(spec.norm, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 - the class says it
        y: Tensor = self.dropout(self.norm(self.conv(self.activation(x))))
        return y


class UNet(nn.Module):
    """The U-Net of Isola et al. 2017 (appendix 6.1.1): C64-C128-C256-C512-… and back, with skips.

    Each encoder layer halves the image; decoder layer i sees its own input beside the output of the encoder
    layer of the same size. 54.41 M parameters at width 64, depth 8 and three bands on both sides.
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        outputs = spec.target_bands + spec.classes
        channels = [min(2**i, 8) * spec.width for i in range(spec.depth)]
        inner = spec.depth - 1
        self.down = nn.ModuleList(
            Down(
                spec.source_bands if i == 0 else channels[i - 1],
                channels[i],
                spec,
                first=i == 0,
                last=i == inner,
            )
            for i in range(spec.depth)
        )
        # up[i] undoes down[i]: it takes channels[i] (twice, with the skip) and gives channels[i - 1].
        self.up = nn.ModuleList(
            Up(
                channels[i] * (1 if i == inner else 2),
                outputs if i == 0 else channels[i - 1],
                spec,
                dropout=spec.dropout if i and inner - i < DROPOUT_LAYERS else 0.0,
                last=i == 0,
            )
            for i in range(spec.depth)
        )
        self.target_bands = spec.target_bands

    def forward(self, source: Tensor) -> Tensor:
        """Translate a batch.

        Args:
            source: float (n, source_bands, h, w) in [-1, 1]; h and w are multiples of 2**depth.

        Returns:
            float (n, target_bands + classes, h, w): the image in [-1, 1], then the class head's logits.
        """
        skips = []
        x = source
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = skips.pop()
        for i in range(len(self.up) - 1, -1, -1):
            x = self.up[i](x)
            if i:
                x = torch.cat([x, skips.pop()], dim=1)
        return split_tanh(x, self.target_bands)


def split_tanh(x: Tensor, bands: int) -> Tensor:
    """Apply tanh to the first `bands` channels and leave the class logits behind them as they are."""
    if x.shape[1] == bands:
        return torch.tanh(x)
    return torch.cat([torch.tanh(x[:, :bands]), x[:, bands:]], dim=1)
