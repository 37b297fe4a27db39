"""Stand-ins for the generators of other projects, written plainly from what is public of their formats.

Names and order of the layers are theirs, since the names are the format; nothing else of their code is here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def norm_layer(norm: str, channels: int) -> list[nn.Module]:
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    return [nn.InstanceNorm2d(channels)] if norm == "instance" else [nn.Identity()]


class SkipBlock(nn.Module):
    """One level of the nested U-Net: `model` holds the way down, the level within, and the way up."""

    def __init__(
        self, outer: int, inner: int, source: int, within: nn.Module | None, norm: str, *, top: bool
    ) -> None:
        super().__init__()
        bias = norm == "instance"
        down = nn.Conv2d(source, inner, 4, 2, 1, bias=bias)
        up_inputs = inner if within is None else 2 * inner
        up = nn.ConvTranspose2d(up_inputs, outer, 4, 2, 1, bias=bias or top)
        self.top = top
        if top:
            assert within is not None
            layers: list[nn.Module] = [down, within, nn.ReLU(), up, nn.Tanh()]
        elif within is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, *norm_layer(norm, outer)]
        else:
            layers = [nn.LeakyReLU(0.2), down, *norm_layer(norm, inner), within, nn.ReLU(), up]
            layers += [*norm_layer(norm, outer), nn.Dropout(0.5)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        # There the LeakyReLU works in place, so that the skip is what it leaves.
        return y if self.top else torch.cat([nn.functional.leaky_relu(x, 0.2), y], 1)


class NestedUNet(nn.Module):
    """`unet_128` (7 levels) and `unet_256` (8) of pytorch-CycleGAN-and-pix2pix."""

    def __init__(
        self, levels: int, width: int = 2, norm: str = "batch", bands: tuple[int, int] = (3, 3)
    ) -> None:
        super().__init__()
        channels = [min(2**i, 8) * width for i in range(levels)]
        block: SkipBlock | None = None
        for i in range(levels - 1, 0, -1):
            block = SkipBlock(channels[i - 1], channels[i], channels[i - 1], block, norm, top=False)
        self.model = SkipBlock(bands[1], channels[0], bands[0], block, norm, top=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


class Residual(nn.Module):
    def __init__(self, channels: int, norm: str, *, dropout: bool, bias: bool) -> None:
        super().__init__()
        half = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            *norm_layer(norm, channels),
        ]
        again = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            *norm_layer(norm, channels),
        ]
        between = [nn.ReLU(), nn.Dropout(0.5)] if dropout else [nn.ReLU()]
        self.conv_block = nn.Sequential(*half, *between, *again)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.conv_block(x)
        return y


class FlatResNet(nn.Module):
    """`resnet_*blocks` of pytorch-CycleGAN-and-pix2pix; with `biased` the global generator of pix2pixHD."""

    def __init__(
        self,
        blocks: int = 9,
        halvings: int = 2,
        width: int = 4,
        norm: str = "instance",
        *,
        dropout: bool = False,
        biased: bool = False,
        bands: tuple[int, int] = (3, 3),
    ) -> None:
        super().__init__()
        bias = biased or norm == "instance"
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(bands[0], width, 7, bias=bias), *norm_layer(norm, width)]
        layers.append(nn.ReLU())
        for i in range(halvings):
            c = width * 2**i
            layers += [nn.Conv2d(c, 2 * c, 3, 2, 1, bias=bias), *norm_layer(norm, 2 * c), nn.ReLU()]
        inner = width * 2**halvings
        layers += [Residual(inner, norm, dropout=dropout, bias=bias) for _ in range(blocks)]
        for i in range(halvings):
            c = inner // 2**i
            up = nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1, bias=bias)
            layers += [up, *norm_layer(norm, c // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, bands[1], 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


class Step(nn.Module):
    """A convolution, batch norm and activation of the tutorial's network, under the name `Layer`."""

    def __init__(self, convolution: nn.Module, outputs: int, activation: nn.Module) -> None:
        super().__init__()
        self.Layer = nn.Sequential(convolution, nn.BatchNorm2d(outputs), activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.Layer(x)
        return y


class TutorialGenerator(nn.Module):
    """The U-Net of the satellite-mapping tutorial: eight halvings, pictures in [0, 1]."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        c = [3] + [width * min(2**i, 8) for i in range(8)]
        reflect = {"padding_mode": "reflect"}
        self.DownConvLayer1 = nn.Sequential(nn.Conv2d(3, c[1], 4, 2, 1, **reflect), nn.LeakyReLU(0.2))  # type: ignore[arg-type]
        for i in range(2, 8):
            convolution = nn.Conv2d(c[i - 1], c[i], 4, 2, 1, bias=False, **reflect)  # type: ignore[arg-type]
            self.add_module(f"DownConvLayer{i}", Step(convolution, c[i], nn.LeakyReLU(0.2)))
        self.BottleNeck = nn.Sequential(nn.Conv2d(c[7], c[8], 4, 2, 1), nn.ReLU())
        for i in range(1, 8):
            inputs = c[8] if i == 1 else 2 * c[9 - i]
            up = nn.ConvTranspose2d(inputs, c[8 - i], 4, 2, 1, bias=False)
            self.add_module(f"UpConvLayer{i}", Step(up, c[8 - i], nn.ReLU()))
        self.FinalConvLayer = nn.Sequential(nn.ConvTranspose2d(2 * c[1], 3, 4, 2, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """Translate float (n, 3, h, w) in [0, 1]; what is saved is the output, cut off at 0 and 1."""
        skips = []
        for i in range(1, 8):
            x = self.get_submodule(f"DownConvLayer{i}")(x)
            skips.append(x)
        x = self.BottleNeck(x)
        for i in range(1, 8):
            x = torch.cat([self.get_submodule(f"UpConvLayer{i}")(x), skips.pop()], 1)
        y: Tensor = self.FinalConvLayer(x)
        return y


def well_used(network: nn.Module) -> nn.Module:
    """Give a network weights that tell layers apart, and statistics that are not those of a new one."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        fan = parameter[0].numel() if parameter.dim() == 4 else 1
        nn.init.normal_(parameter, 0.0, (2 / fan) ** 0.5 if parameter.dim() == 4 else 0.3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.running_mean, 0.0, 0.3)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return network.eval()
