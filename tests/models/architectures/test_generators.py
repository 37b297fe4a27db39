"""Tests of sat2map.models.architectures: both generators, the PatchGAN, and how their weights are drawn."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from sat2map.models.architectures.blocks import init_weights
from sat2map.models.architectures.generators import build_generator, count_parameters
from sat2map.models.architectures.registry import ARCHITECTURES
from sat2map.models.architectures.resnet.network import ResNet
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.architectures.unet.network import UNet
from sat2map.models.discriminator import PatchGAN
from sat2map.settings import Norm

NORMS = ("batch", "instance", "group", "none")
UPSAMPLINGS = ("transpose", "resize", "shuffle")
DRAWING = [name for name, architecture in ARCHITECTURES.items() if not architecture.gives_colours]
VARIANTS = list(itertools.product(DRAWING, NORMS, UPSAMPLINGS))


def tiny(architecture: str = "unet", **values: Any) -> nn.Module:
    torch.manual_seed(0)
    network = build_generator(GeneratorSpec(architecture=architecture, **{"width": 4, "depth": 3, **values}))
    init_weights(network)
    return network


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


# sizes


def test_the_papers_u_net_has_54_414_531_parameters() -> None:
    encoder = [3, 64, 128, 256, 512, 512, 512, 512, 512]
    down = sum(16 * i * o for i, o in itertools.pairwise(encoder))
    up = 16 * (512 * 512 + 3 * 1024 * 512 + 1024 * 256 + 512 * 128 + 256 * 64 + 128 * 3)
    biases = 64 + 512 + 3  # where there is no norm: first and innermost of the encoder, and the output
    scales_and_shifts = 2 * (128 + 256 + 4 * 512) + 2 * (4 * 512 + 256 + 128 + 64)
    by_hand = down + up + biases + scales_and_shifts
    assert count_parameters(build_generator(GeneratorSpec(width=64, depth=8))) == by_hand == 54_414_531


def test_the_papers_patchgan_has_2_768_705_parameters() -> None:
    by_hand = 16 * (6 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 1) + (64 + 1) + 2 * (128 + 256 + 512)
    assert count_parameters(PatchGAN(6, width=64, layers=3)) == by_hand == 2_768_705


def test_the_resnet_of_cyclegan_has_11_378_179_parameters() -> None:
    ends = 49 * 3 * 64 + 64 + 49 * 64 * 3 + 3
    scaling = 9 * (64 * 128 + 128 * 256) + (128 + 256) + 9 * (256 * 128 + 128 * 64) + (128 + 64)
    blocks = 9 * 2 * (9 * 256 * 256 + 256)
    by_hand = ends + scaling + blocks
    spec = GeneratorSpec(architecture="resnet9", width=64, norm="instance")
    assert count_parameters(build_generator(spec)) == by_hand == 11_378_179


@pytest.mark.parametrize(("architecture", "norm", "upsample"), VARIANTS)
def test_every_variant_gives_an_image_of_the_same_size_in_range(
    architecture: str, norm: str, upsample: str
) -> None:
    network = tiny(architecture, norm=norm, upsample=upsample, source_bands=4, target_bands=1)
    multiple = GeneratorSpec(architecture=architecture, depth=3).size_divisor
    fake = network(picture(2, 4, 3 * multiple, 5 * multiple))
    assert fake.shape == (2, 1, 3 * multiple, 5 * multiple)
    assert fake.abs().max() <= 1


@pytest.mark.parametrize(("architecture", "norm", "upsample"), VARIANTS)
def test_every_parameter_of_every_variant_is_trained(architecture: str, norm: str, upsample: str) -> None:
    network = tiny(architecture, norm=norm, upsample=upsample, dropout=0.0)
    network(picture(2, 3, 24, 40)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("width", [4, 20, 33, 50, 100])
def test_group_norm_takes_every_width(width: int) -> None:
    assert tiny(norm="group", width=width)(picture(1, 3, 16, 16)).shape == (1, 3, 16, 16)


# behaviour


@pytest.mark.parametrize(("architecture", "norm", "upsample"), VARIANTS)
def test_in_eval_mode_an_image_does_not_depend_on_the_rest_of_its_batch(
    architecture: str, norm: str, upsample: str
) -> None:
    network = tiny(architecture, norm=norm, upsample=upsample)
    batch = picture(3, 3, 24, 24)
    with torch.no_grad():
        network(batch)  # running statistics that are not those of a new network
        network.eval()
        # pix2pixHD's 9 blocks without trained weights grow what fp32 rounds off in another order of sums.
        atol = 5e-5 if architecture == "global" else 1e-5
        torch.testing.assert_close(network(batch)[1:2], network(batch[1:2]), atol=atol, rtol=0)


@pytest.mark.parametrize("architecture", DRAWING)
def test_the_class_heads_logits_are_not_squashed(architecture: str) -> None:
    network = tiny(architecture, classes=6, norm="none").eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(20)
        output = network(picture(1, 3, 16, 16))
    assert output.shape == (1, 9, 16, 16)
    assert output[:, :3].abs().max() <= 1
    assert output[:, 3:].abs().max() > 1


def test_the_image_does_not_depend_on_there_being_a_class_head() -> None:
    with_head, without = tiny(classes=6).eval(), tiny().eval()
    weights = with_head.state_dict()
    shapes = {name: value.shape for name, value in without.state_dict().items()}
    # The head's channels are the last of the last layer: weight (inputs, outputs, 4, 4), bias (outputs,).
    cut = {
        name: value if value.shape == shapes[name] else (value[:, :3] if value.dim() == 4 else value[:3])
        for name, value in weights.items()
    }
    without.load_state_dict(cut)
    x = picture(1, 3, 16, 16)
    torch.testing.assert_close(with_head(x)[:, :3], without(x))


def test_skip_connections_join_layers_of_one_size() -> None:
    network = tiny(depth=4)
    assert isinstance(network, UNet)
    given: dict[int, torch.Tensor] = {}
    taken: dict[int, torch.Tensor] = {}
    for i, down in enumerate(network.down):
        down.register_forward_hook(lambda _m, _x, y, i=i: given.__setitem__(i, y))
    for i, up in enumerate(network.up):
        up.register_forward_pre_hook(lambda _m, x, i=i: taken.__setitem__(i, x[0]))
    network(picture(1, 3, 32, 48))
    assert [tuple(given[i].shape[2:]) for i in range(4)] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert torch.equal(taken[3], given[3])
    for i in range(3):
        assert taken[i].shape[1] == 2 * given[i].shape[1]
        assert torch.equal(taken[i][:, given[i].shape[1] :], given[i])


def test_dropout_is_in_the_three_innermost_layers_of_the_decoder() -> None:
    network = build_generator(GeneratorSpec(width=4, depth=8, dropout=0.5))
    assert isinstance(network, UNet)
    rates = {i: m.p for i, up in enumerate(network.up) for m in up.modules() if isinstance(m, nn.Dropout)}
    # up[7] is the first layer of the decoder: CD512 CD512 CD512 C512 C256 C128 C64, and the output.
    assert [rates[i] for i in range(7, -1, -1)] == [0.5, 0.5, 0.5, 0, 0, 0, 0, 0]
    assert not any(isinstance(m, nn.Dropout) and m.p for m in network.down.modules())


def test_a_shallow_u_net_has_no_dropout_on_its_output() -> None:
    network = build_generator(GeneratorSpec(width=4, depth=2, dropout=0.5))
    assert isinstance(network, UNet)
    assert [up.dropout.p for up in network.up] == [0, 0.5]


def test_the_first_and_the_innermost_layer_have_no_norm() -> None:
    network = build_generator(GeneratorSpec(width=4, depth=5))
    assert isinstance(network, UNet)
    bare = [isinstance(down.norm, nn.Identity) for down in network.down]
    assert bare == [True, False, False, False, True]
    assert [isinstance(up.norm, nn.Identity) for up in network.up] == [True, False, False, False, False]


def test_the_resnet_has_nine_blocks() -> None:
    network = tiny("resnet9")
    assert isinstance(network, ResNet)
    assert sum(type(m).__name__ == "ResidualBlock" for m in network.modules()) == 9


# the discriminator


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_logit_of_the_patchgan_sees_a_patch(layers: int, field: int) -> None:
    torch.manual_seed(0)
    network = PatchGAN(2, width=4, layers=layers).eval()  # batch statistics would let it see everything
    side = 2 * field + 32
    source = picture(1, 1, side, side).requires_grad_()
    logits = network(source, picture(1, 1, side, side))
    middle = logits.shape[2] // 2
    (gradient,) = torch.autograd.grad(logits[0, 0, middle, middle], source)
    seen = gradient[0, 0] != 0
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (field, field)


@pytest.mark.parametrize("norm", NORMS)
def test_the_patchgan_judges_patches_eight_pixels_apart(norm: Norm) -> None:
    network = PatchGAN(4, width=4, norm=norm)
    assert network(picture(2, 3, 64, 96), picture(2, 1, 64, 96)).shape == (2, 1, 6, 10)


def test_the_smallest_crop_that_settings_allow_gives_one_patch() -> None:
    for layers in range(1, 7):
        side = 3 * 2**layers
        assert PatchGAN(2, width=4, layers=layers)(*(picture(2, 1, side, side),) * 2).shape == (2, 1, 1, 1)


# initial weights


@pytest.mark.parametrize(
    "network", [UNet(GeneratorSpec(width=16)), PatchGAN(6, width=32)], ids=["u-net", "patchgan"]
)
def test_convolutions_are_drawn_from_a_normal_distribution_of_0_02(network: nn.Module) -> None:
    torch.manual_seed(0)
    init_weights(network)
    convolutions = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    weights = torch.cat([m.weight.detach().flatten() for m in convolutions])
    error = 0.02 / len(weights) ** 0.5  # of the mean; the standard deviation's is smaller
    assert abs(float(weights.mean())) < 5 * error
    assert abs(float(weights.std()) - 0.02) < 5 * error
    # A normal distribution has 4.55 % beyond two standard deviations, a uniform one none.
    assert float((weights.abs() > 0.04).float().mean()) == pytest.approx(0.0455, rel=0.05)
    assert all(not m.bias.any() for m in convolutions if m.bias is not None)


def test_norm_scales_are_drawn_around_one_and_shifts_are_zero() -> None:
    torch.manual_seed(0)
    network = UNet(GeneratorSpec(width=32))
    init_weights(network)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    scales = torch.cat([m.weight.detach() for m in norms])
    assert float(scales.mean()) == pytest.approx(1, abs=5 * 0.02 / len(scales) ** 0.5)
    assert float(scales.std()) == pytest.approx(0.02, rel=0.1)
    assert all(not m.bias.any() for m in norms)
