"""Tests of sat2map.models.onnx.rewrites: each rewrite draws what PyTorch's layer draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sat2map.models.onnx import rewrites
from sat2map.models.onnx.rewrites import Convolution


def run(convolution: Convolution, x: torch.Tensor) -> torch.Tensor:
    """Run a rewritten layer in PyTorch, as the ONNX operators are defined."""
    top, left, bottom, right = convolution.pads
    padded = F.pad(x, (left, right, top, bottom))
    weight, bias = torch.from_numpy(convolution.weight), torch.from_numpy(convolution.bias)
    y = F.conv2d(padded, weight, bias, stride=convolution.stride)
    if convolution.blocks > 1:  # ONNX DepthToSpace in mode DCR
        n, _, h, w = y.shape
        y = y.reshape(n, 2, 2, -1, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, -1, 2 * h, 2 * w)
    crop = convolution.crop
    return y[:, :, crop : y.shape[2] - crop, crop : y.shape[3] - crop]


def integers(*shape: int) -> torch.Tensor:
    """Return small whole numbers: their sums are exact in float32, in whatever order they are taken."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randint(-8, 9, shape, generator=generator).float()


def with_integers(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        parameter.data = integers(*parameter.shape)
    return layer.requires_grad_(False)


def arrays(layer: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    return layer.get_parameter("weight").numpy(), layer.get_parameter("bias").numpy()


UPSAMPLINGS = {
    "the U-Net's transposed convolution": (
        rewrites.from_transpose_4,
        nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1),
        lambda layer, x: layer(x),
    ),
    "the ResNet's transposed convolution": (
        rewrites.from_transpose_3,
        nn.ConvTranspose2d(3, 5, 3, stride=2, padding=1, output_padding=1),
        lambda layer, x: layer(x),
    ),
    "resize and convolve": (
        rewrites.from_resize,
        nn.Conv2d(3, 5, 3, padding=1),
        lambda layer, x: layer(F.interpolate(x, scale_factor=2)),
    ),
    "pixel shuffle": (
        rewrites.from_shuffle,
        nn.Conv2d(3, 20, 3, padding=1),
        lambda layer, x: F.pixel_shuffle(layer(x), 2),
    ),
}


@pytest.mark.parametrize("name", UPSAMPLINGS)
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (6, 5)])
def test_an_upsampling_layer_as_one_convolution_is_exact(name: str, size: tuple[int, int]) -> None:
    rewrite, layer, plain = UPSAMPLINGS[name]
    with_integers(layer)
    x = integers(2, 3, *size)
    rewritten = run(rewrite(*arrays(layer)), x)
    assert rewritten.shape == (2, 5, 2 * size[0], 2 * size[1])
    assert torch.equal(rewritten, plain(layer, x))


@pytest.mark.parametrize("name", UPSAMPLINGS)
def test_a_scale_and_shift_after_an_upsampling_layer_can_be_folded_into_it(name: str) -> None:
    rewrite, layer, plain = UPSAMPLINGS[name]
    with_integers(layer)
    x, scale, shift = integers(2, 3, 4, 4), integers(5), integers(5)
    folded = rewrite(*arrays(layer)).scaled(scale.numpy(), shift.numpy())
    expected = plain(layer, x) * scale[:, None, None] + shift[:, None, None]
    assert torch.equal(run(folded, x), expected)


@pytest.mark.parametrize("name", UPSAMPLINGS)
def test_some_channels_of_an_upsampling_layer_can_be_had_alone(name: str) -> None:
    rewrite, layer, plain = UPSAMPLINGS[name]
    with_integers(layer)
    x = integers(2, 3, 4, 4)
    assert torch.equal(run(rewrite(*arrays(layer)).part(1, 4), x), plain(layer, x)[:, 1:4])
