"""Tests of sat2map.training.step, against a plain step written here on its own."""

from __future__ import annotations

import copy
import dataclasses
import gc
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sat2map.images.palette import Palette
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec, spec_of
from sat2map.settings import ScheduleSettings, TrainSettings, load_settings
from sat2map.training.losses.iou import soft_iou_loss
from sat2map.training.networks import Networks, make_networks, update_average
from sat2map.training.palette_tensors import PaletteTensors
from sat2map.training.schedule import learning_rate_factor, progress_of
from sat2map.training.soft_palette import SoftPalette
from sat2map.training.step import Batch, TrainStep

CPU = torch.device("cpu")
KINDS = ("bce", "lsgan", "hinge")


def small(**values: Any) -> TrainSettings:
    given = {
        "crop_size": 32,
        "image_size": 32,
        "width": 4,
        "depth": 3,
        "discriminator_width": 4,
        "dropout": 0.0,
    }
    return load_settings("paper", **{**given, "discriminator_layers": 2, "batch_size": 3, **values})


def networks_for(settings: TrainSettings, classes: int = 0) -> Networks:
    return make_networks(settings, spec_of(settings, classes=classes), CPU)


def step_of(
    settings: TrainSettings,
    networks: Networks,
    palette: PaletteTensors | None = None,
    dtype: torch.dtype = torch.float32,
) -> TrainStep:
    return TrainStep(networks, settings.loss, settings.optimizer, device=CPU, dtype=dtype, palette=palette)


def tensors_of(settings: TrainSettings, weights: list[float] | None = None) -> PaletteTensors:
    """Return the palette `maps`, with classes that weigh so much."""
    palette = Palette.load("maps")
    tensors = PaletteTensors.of(palette, torch.full((6,), 1 / 6), settings.loss, CPU)
    if weights is None:
        return tensors
    return dataclasses.replace(tensors, class_weights=torch.tensor(weights), l1_weights=torch.tensor(weights))


def a_batch(seed: int = 0, colours: int | None = None) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    source, target = (torch.rand(3, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    if colours is None:
        return Batch(source, target)
    return Batch(source, target, torch.randint(colours, (3, 32, 32), generator=generator))


def plain_step(
    kind: str, n: Networks, batch: Batch, l1_weight: float
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Make one pix2pix step the plain way; return the losses and the discriminator's gradients."""
    d_adam = torch.optim.Adam(n.discriminator.parameters(), 2e-4, betas=(0.5, 0.999))
    g_adam = torch.optim.Adam(n.generator.parameters(), 2e-4, betas=(0.5, 0.999))
    fake = n.generator(batch.source)

    real_logits = n.discriminator(batch.source, batch.target)
    fake_logits = n.discriminator(batch.source, fake.detach())
    if kind == "bce":
        d_real, d_fake = F.softplus(-real_logits).mean(), F.softplus(fake_logits).mean()
    elif kind == "lsgan":
        d_real, d_fake = ((real_logits - 1) ** 2).mean(), (fake_logits**2).mean()
    else:
        d_real, d_fake = (1 - real_logits).clamp(min=0).mean(), (1 + fake_logits).clamp(min=0).mean()
    d = 0.5 * d_real + 0.5 * d_fake
    gradients = list(torch.autograd.grad(d, list(n.discriminator.parameters())))
    for parameter, gradient in zip(n.discriminator.parameters(), gradients, strict=True):
        parameter.grad = gradient.clone()
    d_adam.step()

    logits = n.discriminator(batch.source, fake)
    adversarial = {
        "bce": lambda: F.softplus(-logits).mean(),
        "lsgan": lambda: ((logits - 1) ** 2).mean(),
        "hinge": lambda: -logits.mean(),
    }[kind]()
    l1 = (fake - batch.target).abs().mean()
    g = adversarial + l1_weight * l1
    parameters = list(n.generator.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(g, parameters), strict=True):
        parameter.grad = gradient
    g_adam.step()
    losses = {"d_real": d_real, "d_fake": d_fake, "d": d, "adversarial": adversarial, "l1": l1, "g": g}
    return losses, gradients


def assert_same_state(one: nn.Module, other: nn.Module) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6, msg=partial("{}: {}".format, name))


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_equals_the_plain_step(kind: str) -> None:
    settings = small(adversarial=kind, l1_weight=10)
    ours = networks_for(settings)
    plain = copy.deepcopy(ours)
    before = copy.deepcopy(ours)
    losses = step_of(settings, ours)(a_batch(), 0)
    expected, gradients = plain_step(kind, plain, a_batch(), 10)

    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        assert float(loss) == pytest.approx(float(expected[name].detach()), rel=1e-5, abs=1e-6), name
        assert not loss.requires_grad
    assert_same_state(ours.discriminator, plain.discriminator)
    assert_same_state(ours.generator, plain.generator)
    # The discriminator's gradients are those of its own loss: nothing came from the generator's update.
    for parameter, gradient in zip(ours.discriminator.parameters(), gradients, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)
    for network, old in ((ours.generator, before.generator), (ours.discriminator, before.discriminator)):
        moved = [not torch.equal(a, b) for a, b in zip(network.parameters(), old.parameters(), strict=True)]
        assert any(moved)


def test_a_step_leaves_nothing_to_the_garbage_collector() -> None:
    """Tensors in a reference cycle fill the memory: Python collects by numbers of objects, not by bytes."""
    settings = small()
    step = step_of(settings, networks_for(settings))
    step(a_batch(), 0)
    gc.collect()
    gc.disable()
    try:
        before = sum(type(one) is torch.Tensor for one in gc.get_objects())
        step(a_batch(), 1)
        assert sum(type(one) is torch.Tensor for one in gc.get_objects()) == before
    finally:
        gc.enable()


def test_the_discriminator_can_still_be_trained_after_a_step() -> None:
    settings = small()
    networks = networks_for(settings)
    step_of(settings, networks)(a_batch(), 0)
    assert all(parameter.requires_grad for parameter in networks.discriminator.parameters())


def test_gradients_do_not_pile_up_over_steps() -> None:
    settings = small(adversarial="lsgan")
    networks = networks_for(settings)
    step = step_of(settings, networks)
    step(a_batch(0), 0)
    before = copy.deepcopy(networks)
    step(a_batch(1), 1)
    _, gradients = plain_step("lsgan", before, a_batch(1), 100)
    for parameter, gradient in zip(networks.discriminator.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-3)


def test_without_the_adversarial_loss_the_discriminator_does_not_move_the_generator() -> None:
    settings = small(adversarial_weight=0.0)
    one, other = networks_for(settings), networks_for(settings)
    for parameter in other.discriminator.parameters():
        parameter.data.mul_(-3)
    for networks in (one, other):
        step_of(settings, networks)(a_batch(), 0)
    assert_same_state(one.generator, other.generator)


def test_without_the_adversarial_loss_the_discriminator_is_not_trained() -> None:
    settings = small(adversarial_weight=0.0)
    networks = networks_for(settings)
    before = copy.deepcopy(networks.discriminator)
    losses = step_of(settings, networks)(a_batch(), 0)
    assert_same_state(networks.discriminator, before)
    assert sorted(losses) == ["g", "l1"]


def test_balanced_l1_weighs_each_pixel_by_its_class() -> None:
    settings = small(l1_balance=0.5, adversarial_weight=0.0, l1_weight=1.0)
    networks, batch = networks_for(settings), a_batch(colours=14)
    fake = copy.deepcopy(networks.generator)(batch.source).detach()
    palette = tensors_of(settings, [0.5, 1.0, 4.0, 1.0, 1.0, 2.0])
    losses = step_of(settings, networks, palette)(batch, 0)
    assert batch.labels is not None
    classes = palette.class_table[batch.labels]
    difference = (fake - batch.target).abs().mean(dim=1)
    expected = float((difference * palette.class_weights[classes]).mean())
    assert float(losses["l1"]) == pytest.approx(expected, rel=1e-5)
    assert float(losses["g"]) == pytest.approx(float(losses["l1"]), rel=1e-6)


def test_the_class_head_learns_by_cross_entropy() -> None:
    settings = small(cross_entropy_weight=7.0, adversarial_weight=0.0, l1_weight=1.0)
    networks, batch = networks_for(settings, classes=6), a_batch(colours=14)
    logits = copy.deepcopy(networks.generator)(batch.source).detach()[:, 3:]
    palette = tensors_of(settings)
    losses = step_of(settings, networks, palette)(batch, 0)
    assert batch.labels is not None
    classes = palette.class_table[batch.labels]
    log_p = logits - logits.exp().sum(dim=1, keepdim=True).log()
    expected = -float(log_p.gather(1, classes[:, None]).mean())
    assert float(losses["cross_entropy"]) == pytest.approx(expected, rel=1e-5)
    assert float(losses["g"]) == pytest.approx(float(losses["l1"]) + 7 * expected, rel=1e-5)


def test_with_a_palette_the_image_learns_by_the_soft_iou_of_its_classes() -> None:
    settings = small(iou_weight=7.0, adversarial_weight=0.0, l1_weight=1.0)
    networks, batch = networks_for(settings), a_batch(colours=14)
    output = copy.deepcopy(networks.generator)(batch.source).detach()
    palette = tensors_of(settings)
    losses = step_of(settings, networks, palette)(batch, 0)
    assert batch.labels is not None
    soft = SoftPalette(palette.palette, CPU)(output[:, :3])
    expected = float(soft_iou_loss(soft, palette.class_table[batch.labels]))
    assert float(losses["iou"]) == pytest.approx(expected, rel=1e-5)
    assert float(losses["g"]) == pytest.approx(float(losses["l1"]) + 7 * expected, rel=1e-5)


def test_a_palette_generator_learns_as_a_plain_loop_does() -> None:
    # The recipe written out: cross-entropy by class weights, soft IoU of class sums, L1 of the mixed colours.
    settings = load_settings("default", crop_size=32, batch_size=3, generator="efficient-unet", ema=0)
    networks = make_networks(settings, spec_of(settings, colours=14), CPU)
    weights = [0.7, 1.0, 1.4, 1.3, 1.1, 3.1]
    palette, batch = tensors_of(settings, weights), a_batch(colours=14)
    palette = dataclasses.replace(palette, l1_weights=None)
    assert batch.labels is not None
    logits = copy.deepcopy(networks.generator)(batch.source).detach()
    losses = step_of(settings, networks, palette)(batch, 0)

    maps = Palette.load("maps")
    counts = [len(one.colours) for one in maps.classes]
    of_colour = torch.repeat_interleave(torch.arange(6), torch.tensor(counts))
    colours = torch.tensor([c for one in maps.classes for c in one.colours]).float() / 127.5 - 1
    p = logits.softmax(1)
    cross_entropy = F.cross_entropy(logits, batch.labels, torch.tensor(weights)[of_colour])
    by_class = torch.stack([group.sum(1) for group in p.split(counts, 1)], 1)
    iou = soft_iou_loss(by_class, of_colour[batch.labels])
    mixed = torch.einsum("nkhw,kc->nchw", p, colours)
    l1 = (mixed - colours[batch.labels].permute(0, 3, 1, 2)).abs().mean()
    for name, expected in (("cross_entropy", cross_entropy), ("iou", iou), ("l1", l1)):
        assert float(losses[name]) == pytest.approx(float(expected), rel=1e-4), name
    assert float(losses["g"]) == pytest.approx(float(cross_entropy + iou + l1), rel=1e-4)


def test_the_target_of_an_ignored_pixel_changes_no_gradient_of_the_generator() -> None:
    settings = small(iou_weight=1.0, cross_entropy_weight=1.0, adversarial_weight=1.0)
    batch = a_batch(colours=14)
    assert batch.labels is not None
    assert batch.target is not None
    batch.labels[:, 4:20, 4:20] = 255
    other = batch.target.clone()
    other[:, :, 4:20, 4:20] = -other[:, :, 4:20, 4:20]
    gradients = []
    for target in (batch.target, other):
        networks = networks_for(settings, classes=6)
        # With weights that stay, the discriminator judges both alike.
        networks.discriminator_optimizer.param_groups[0]["lr"] = 0.0
        networks.discriminator.eval()
        step_of(settings, networks, tensors_of(settings))(dataclasses.replace(batch, target=target), 0)
        gradients.append([parameter.grad for parameter in networks.generator.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-5)


def test_in_half_precision_losses_and_weights_stay_in_full_precision() -> None:
    settings = small()
    half, full = networks_for(settings), networks_for(settings)
    losses = step_of(settings, half, dtype=torch.bfloat16)(a_batch(), 0)
    expected = step_of(settings, full)(a_batch(), 0)
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        assert float(loss) == pytest.approx(float(expected[name]), rel=0.05), name
    assert {parameter.dtype for parameter in half.generator.parameters()} == {torch.float32}


def test_in_fp16_the_losses_are_scaled_and_the_update_is_that_of_fp32() -> None:
    settings = small(norm="group", adversarial_weight=0.0)
    half = make_networks(settings, spec_of(settings), CPU, torch.float16)
    full = networks_for(settings)
    assert half.scaler is not None
    losses = step_of(settings, half, dtype=torch.float16)(a_batch(), 0)
    expected = step_of(settings, full)(a_batch(), 0)
    assert float(losses["l1"]) == pytest.approx(float(expected["l1"]), rel=1e-2)
    for a, b in zip(half.generator.parameters(), full.generator.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad, atol=0.05 * float(b.grad.abs().max()) + 1e-6, rtol=0.05)


@pytest.mark.parametrize("parts", [2, 3])
def test_a_batch_in_parts_gives_the_update_of_the_whole_batch(parts: int) -> None:
    settings = small(norm="group", adversarial_weight=0.0, l1_weight=1.0)
    whole, cut = networks_for(settings), networks_for(settings)
    losses = step_of(settings, whole)(a_batch(), 0)
    of_parts = step_of(small(norm="group", adversarial_weight=0.0, l1_weight=1.0, accumulate=parts), cut)
    assert float(of_parts(a_batch(), 0)["l1"]) == pytest.approx(float(losses["l1"]), rel=1e-5)
    for a, b in zip(whole.generator.parameters(), cut.generator.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-6, rtol=1e-4)


# networks


def test_the_same_seed_draws_the_same_networks_and_another_does_not() -> None:
    one, same, other = (networks_for(small(seed=seed)) for seed in (1, 1, 2))
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.generator.parameters(), same.generator.parameters(), strict=True)
    )
    weights = [next(iter(n.generator.parameters())) for n in (one, other)]
    assert not torch.equal(*weights)


def test_the_optimizers_have_the_settings_values() -> None:
    networks = networks_for(small(learning_rate=1e-3, betas=(0.3, 0.9)))
    for optimizer in (networks.generator_optimizer, networks.discriminator_optimizer):
        assert optimizer.param_groups[0]["lr"] == 1e-3
        assert optimizer.param_groups[0]["betas"] == (0.3, 0.9)


def test_weights_are_drawn_as_the_paper_does() -> None:
    networks = networks_for(small(width=16, discriminator_width=16))
    for network in (networks.generator, networks.discriminator):
        kernels = torch.cat([p.detach().flatten() for p in network.parameters() if p.dim() == 4])
        assert float(kernels.std()) == pytest.approx(0.02, rel=0.05)


# the moving average


# Far into a run the decay is the settings'; at step n before that it is (1 + n) / (10 + n).
@pytest.mark.parametrize(("number", "decay"), [(1000, 0.9), (0, 0.1), (2, 0.25)])
def test_the_average_follows_the_generator_by_hand(number: int, decay: float) -> None:
    settings = small(ema=0.9)
    networks = networks_for(settings)
    before = copy.deepcopy(networks.generator.state_dict())
    step_of(settings, networks)(a_batch(), number)
    assert networks.average is not None
    after, average = networks.generator.state_dict(), networks.average.state_dict()
    assert any("running_mean" in name for name in average)
    for name, value in average.items():
        if value.is_floating_point():
            expected = decay * before[name] + (1 - decay) * after[name]
            torch.testing.assert_close(value, expected, atol=1e-7, rtol=1e-5)
        else:
            assert torch.equal(value, after[name])


def test_the_average_of_one_number_over_three_steps() -> None:
    network, average = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    average.weight.data.fill_(0)
    for value in (1.0, 1.0, 2.0):
        network.weight.data.fill_(value)
        update_average(average, network, 0.5)
    assert float(average.weight.detach()) == 0.5 * (0.5 * 0.5 + 0.5) + 0.5 * 2  # 1.375


@pytest.mark.parametrize("decay", [0.0, 0.25, 0.9, 0.999])
def test_the_average_of_all_tensors_at_once_is_that_of_one_after_the_other(decay: float) -> None:
    spec = GeneratorSpec(width=4, depth=3, classes=2)
    torch.manual_seed(0)
    network, average = build_generator(spec), build_generator(spec)
    network(torch.randn(2, 3, 16, 16))
    expected = {
        name: theirs if not theirs.is_floating_point() else mine.lerp(theirs, 1 - decay)
        for (name, mine), theirs in zip(
            copy.deepcopy(average.state_dict()).items(), network.state_dict().values(), strict=True
        )
    }
    update_average(average, network, decay)
    for name, value in average.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_the_average_is_validated_where_there_is_one() -> None:
    with_average, without = networks_for(small(ema=0.9)), networks_for(small())
    assert with_average.best_generator is with_average.average
    assert without.best_generator is without.generator
    assert with_average.average is not None
    assert not any(parameter.requires_grad for parameter in with_average.average.parameters())


# learning rate


@pytest.mark.parametrize(
    ("schedule", "progress", "factor"),
    [
        ("constant", 0.0, 1.0),
        ("constant", 0.999, 1.0),
        ("linear", 0.0, 1.0),
        ("linear", 0.5, 1.0),
        ("linear", 0.75, 0.5),
        ("linear", 0.9, 0.2),
        ("cosine", 0.25, 0.5 + math.sqrt(2) / 4),
        ("cosine", 0.5, 0.5),
        ("cosine", 0.75, 0.5 - math.sqrt(2) / 4),
    ],
)
def test_the_learning_rate_follows_its_schedule(schedule: Any, progress: float, factor: float) -> None:
    settings = ScheduleSettings(schedule=schedule, warmup_steps=100)
    assert learning_rate_factor(settings, progress, 100) == pytest.approx(factor)


@pytest.mark.parametrize(("step", "factor"), [(0, 0.01), (49, 0.5), (99, 1.0), (5000, 1.0)])
def test_the_learning_rate_rises_over_the_warm_up(step: int, factor: float) -> None:
    settings = ScheduleSettings(schedule="constant", warmup_steps=100)
    assert learning_rate_factor(settings, 0.0, step) == pytest.approx(factor)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_learning_rate_is_positive_from_the_first_step_to_the_last(schedule: Any) -> None:
    settings = ScheduleSettings(schedule=schedule)
    factors = [learning_rate_factor(settings, step / 1000, step) for step in range(1000)]
    assert min(factors) > 0
    assert max(factors) <= 1


@pytest.mark.parametrize(
    ("minutes", "step", "seconds", "expected"),
    [
        (None, 25, 1e9, 0.25),  # without a budget the clock does not count
        (2.0, 25, 30.0, 0.25),
        (2.0, 25, 60.0, 0.5),
        (2.0, 75, 60.0, 0.75),
        (2.0, 75, 999.0, 1.0),
    ],
)
def test_progress_follows_steps_or_time_whichever_is_further(
    minutes: float | None, step: int, seconds: float, expected: float
) -> None:
    assert progress_of(ScheduleSettings(minutes=minutes), step, 100, seconds) == expected
