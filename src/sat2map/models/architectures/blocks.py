"""The parts that the networks share: normalisation, upsampling and initialisation."""

from __future__ import annotations

import math

from torch import nn

from sat2map.models.architectures.spec import GROUP_CHANNELS, GeneratorSpec
from sat2map.settings import Norm, Upsample


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Return a normalisation of (n, channels, h, w)."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    if norm == "group":
        # gcd: the number of groups must divide the channels, whatever the width.
        return nn.GroupNorm(math.gcd(channels, max(1, channels // GROUP_CHANNELS)), channels)
    return nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """Say whether a convolution before this norm needs a bias: batch and group norm bring their own."""
    return norm in ("instance", "none")


def has_bias(spec: GeneratorSpec, *, normed: bool, last: bool = False) -> bool:
    """Say whether a generator's convolution has a bias; `normed`: a norm follows; `last`: it is the last."""
    if spec.bias == "auto":
        return not normed or needs_bias(spec.norm)
    return last or spec.bias == "all"


def make_upsampling(kind: Upsample, inputs: int, outputs: int, *, bias: bool) -> nn.Module:
    """Return a layer (n, inputs, h, w) → (n, outputs, 2h, 2w).

    `transpose` is the paper's 4×4 transposed convolution. `resize` (nearest, then 3×3 convolution) cannot
    draw checkerboards (Odena et al. 2016, https://distill.pub/2016/deconv-checkerboard). `shuffle` is the
    sub-pixel convolution of Shi et al. 2016, which runs the same work at half the resolution.
    """
    if kind == "transpose":
        return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)
    if kind == "resize":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 3, padding=1, bias=bias), nn.PixelShuffle(2))


def init_weights(network: nn.Module) -> None:
    """Draw the weights as the paper does: N(0, 0.02), norm scales N(1, 0.02), biases 0 (appendix 6.2)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
