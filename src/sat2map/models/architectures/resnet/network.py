"""The ResNet generators."""

from __future__ import annotations

from torch import Tensor, nn

from sat2map.models.architectures.blocks import has_bias, make_norm, make_upsampling
from sat2map.models.architectures.resnet.record import num_blocks, num_downsamplings
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.architectures.unet.network import split_tanh


class ResidualBlock(nn.Module):
    """x + conv-norm-ReLU-dropout-conv-norm(x), (n, channels, h, w), padded by reflection."""

    def __init__(self, channels: int, spec: GeneratorSpec) -> None:
        super().__init__()
        bias = has_bias(spec, normed=True)
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
    """The ResNet generators of Johnson et al. 2016: halve, residual blocks, double.

    `resnet9` and `resnet6` are those of CycleGAN (Zhu et al. 2017, appendix 7.2): c7s1-64, d128, d256, nine
    or six residual blocks, u128, u64, c7s1-3. `global` is the global generator of pix2pixHD (Wang et al.
    2018, section 3.1), with `depth` halvings (four there) and `blocks` blocks (nine there).
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        width, norm, bias = spec.width, spec.norm, has_bias(spec, normed=True)
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(spec.source_bands, width, 7, bias=bias),
            make_norm(norm, width),
            nn.ReLU(),
        ]
        for channels in (width * 2**i for i in range(num_downsamplings(spec))):
            layers += [
                nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=bias),
                make_norm(norm, 2 * channels),
                nn.ReLU(),
            ]
        inner = width * 2 ** num_downsamplings(spec)
        layers += [ResidualBlock(inner, spec) for _ in range(num_blocks(spec))]
        for channels in (inner // 2**i for i in range(num_downsamplings(spec))):
            layers += [self._up(channels, spec), make_norm(norm, channels // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, spec.target_bands + spec.classes, 7)]
        self.body = nn.Sequential(*layers)
        self.target_bands = spec.target_bands

    @staticmethod
    def _up(channels: int, spec: GeneratorSpec) -> nn.Module:
        bias = has_bias(spec, normed=True)
        if spec.upsample == "transpose":  # CycleGAN's own has 3×3 taps where the U-Net's has 4×4
            return nn.ConvTranspose2d(
                channels, channels // 2, 3, stride=2, padding=1, output_padding=1, bias=bias
            )
        return make_upsampling(spec.upsample, channels, channels // 2, bias=bias)

    def forward(self, source: Tensor) -> Tensor:
        """Translate a batch; shapes and ranges as in `UNet.forward`, with multiples of 2**halvings px."""
        return split_tanh(self.body(source), self.target_bands)
