"""Owns the ResNet generator."""

from __future__ import annotations

from torch import Tensor, nn

from sat2map.nets.blocks import make_norm, make_upsampling, needs_bias
from sat2map.nets.unet import split_tanh
from sat2map.settings import GeneratorSpec

BLOCKS = 9


class ResidualBlock(nn.Module):
    """x + conv-norm-ReLU-dropout-conv-norm(x), (n, channels, h, w), padded by reflection."""

    def __init__(self, channels: int, spec: GeneratorSpec) -> None:
        super().__init__()
        bias = needs_bias(spec.norm)
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            make_norm(spec.norm, channels),
            nn.ReLU(),
            nn.Dropout(spec.dropout),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            make_norm(spec.norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 - the class says it
        y: Tensor = x + self.body(x)
        return y


class ResNet(nn.Module):
    """The ResNet-9 generator of Johnson et al. 2016 as CycleGAN uses it (Zhu et al. 2017, appendix 7.2).

    c7s1-64, d128, d256, nine residual blocks, u128, u64, c7s1-3: height and width are multiples of 4.
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        width, norm = spec.width, spec.norm
        bias = needs_bias(norm)
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(spec.source_bands, width, 7, bias=bias),
            make_norm(norm, width),
            nn.ReLU(),
        ]
        for channels in (width, 2 * width):
            layers += [
                nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=bias),
                make_norm(norm, 2 * channels),
                nn.ReLU(),
            ]
        layers += [ResidualBlock(4 * width, spec) for _ in range(BLOCKS)]
        for channels in (4 * width, 2 * width):
            layers += [self._up(channels, spec), make_norm(norm, channels // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, spec.target_bands + spec.classes, 7)]
        self.body = nn.Sequential(*layers)
        self.target_bands = spec.target_bands

    @staticmethod
    def _up(channels: int, spec: GeneratorSpec) -> nn.Module:
        bias = needs_bias(spec.norm)
        if spec.upsample == "transpose":  # CycleGAN's own has 3×3 taps where the U-Net's has 4×4
            return nn.ConvTranspose2d(
                channels, channels // 2, 3, stride=2, padding=1, output_padding=1, bias=bias
            )
        return make_upsampling(spec.upsample, channels, channels // 2, bias=bias)

    def forward(self, source: Tensor) -> Tensor:
        """Translate a batch; shapes and ranges as in `UNet.forward`, with multiples of 4 px."""
        return split_tanh(self.body(source), self.target_bands)
