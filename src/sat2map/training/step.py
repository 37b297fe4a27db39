"""Owns one update of the discriminator and one of the generator, and nothing else."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sat2map.images.palette import Palette
from sat2map.models.architectures.blocks import init_weights
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.discriminator import PatchGAN
from sat2map.runtime import autocast, step_seed
from sat2map.settings import TrainSettings
from sat2map.training.ddp import share, sum_over
from sat2map.training.distributed import ALONE, Team
from sat2map.training.losses import discriminator_loss, generator_loss, l1_loss, soft_iou_loss
from sat2map.training.soft_palette import SoftPalette

LOSS_NAMES = ("d_real", "d_fake", "d", "g_adversarial", "l1", "g")


@dataclass
class Networks:
    """Everything that a step changes: two networks, their optimizers, and the generator's moving average."""

    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    average: nn.Module | None

    @property
    def best_generator(self) -> nn.Module:
        """The generator to validate and keep: the moving average where there is one."""
        return self.generator if self.average is None else self.average


@dataclass(frozen=True)
class Batch:
    """One batch on the device.

    Attributes:
        source: float (n, source_bands, h, w) in [-1, 1].
        target: float (n, target_bands, h, w) in [-1, 1].
        classes: int64 (n, h, w), the target's map classes, or None where there is no palette.
        share: What a mean over these rows weighs in the mean over the processes; 1 where they have as many.
    """

    source: Tensor
    target: Tensor
    classes: Tensor | None
    share: float = 1.0


def make_networks(settings: TrainSettings, spec: GeneratorSpec, device: torch.device) -> Networks:
    """Build and initialise both networks and their optimizers on the device, from the run's seed."""
    torch.manual_seed(step_seed(settings.seed, "init"))
    generator = build_generator(spec)
    discriminator = PatchGAN(
        spec.source_bands + spec.target_bands,
        width=settings.discriminator_width,
        layers=settings.discriminator_layers,
        norm=settings.norm,
    )
    for network in (generator, discriminator):
        init_weights(network)
        # In channels_last the convolutions of both backends run without reordering their input.
        network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    average = copy.deepcopy(generator).requires_grad_(False) if settings.ema else None
    return Networks(
        generator,
        discriminator,
        _make_adam(generator, settings),
        _make_adam(discriminator, settings),
        average,
    )


def _make_adam(network: nn.Module, settings: TrainSettings) -> torch.optim.Adam:
    """Make Adam with its state already there, so that a checkpoint has one shape from step 0 on."""
    parameters = list(network.parameters())
    fused = parameters[0].device.type in ("cpu", "cuda")
    adam = torch.optim.Adam(parameters, settings.learning_rate, settings.betas, fused=fused)
    for parameter in parameters:
        adam.state[parameter] = {
            "step": torch.zeros((), device=parameter.device if fused else "cpu"),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return adam


def make_step(
    settings: TrainSettings,
    networks: Networks,
    device: torch.device,
    dtype: torch.dtype,
    class_weights: Tensor | None,
    palette: Palette | None = None,
    team: Team = ALONE,
) -> Callable[[Batch, int], dict[str, Tensor]]:
    """Return the function that makes one update of each network on a batch.

    Args:
        settings: Losses and weights.
        networks: What is updated, in place.
        device: Where all of it lies.
        dtype: Arithmetic of the networks; losses are fp32.
        class_weights: float (classes,), weights of the map classes in the L1 loss and the cross-entropy;
            None for no weighting.
        palette: Of the map classes; None for targets without.
        team: The processes that share each batch; every one calls the function with its rows.

    Returns:
        Function of a batch and the step's number (from 0) that returns the losses by name, as scalars on the
        device (no synchronisation), means over the whole batch.
    """
    generator, discriminator = networks.generator, networks.discriminator
    shared_generator = share(generator, team, settings.batch_size)
    shared_discriminator = share(discriminator, team, settings.batch_size)
    kind = settings.adversarial
    soft_palette = SoftPalette(palette, device) if palette and settings.class_weight else None

    def update_discriminator(batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        with autocast(device, dtype):
            on_real = shared_discriminator(batch.source, batch.target)
            on_fake = shared_discriminator(batch.source, fake.detach())
        d_real = discriminator_loss(kind, on_real, real=True)
        d_fake = discriminator_loss(kind, on_fake, real=False)
        # "We divide the objective by 2 while optimizing D", section 3.3.
        loss = (d_real + d_fake) / 2
        networks.discriminator_optimizer.zero_grad(set_to_none=True)
        (loss * batch.share).backward()  # type: ignore[no-untyped-call]
        networks.discriminator_optimizer.step()
        return {"d_real": d_real, "d_fake": d_fake, "d": loss}

    def update_generator(batch: Batch, fake: Tensor, logits: Tensor) -> dict[str, Tensor]:
        balanced = settings.l1_balance and class_weights is not None and batch.classes is not None
        weights = class_weights[batch.classes] if balanced else None  # type: ignore[index]
        l1 = l1_loss(fake, batch.target, weights)
        loss, losses = settings.l1_weight * l1, {"l1": l1}
        if settings.adversarial_weight:
            losses["g_adversarial"] = judge(batch, fake)
            loss = loss + settings.adversarial_weight * losses["g_adversarial"]
        if logits.shape[1]:
            assert batch.classes is not None
            cross_entropy = F.cross_entropy(logits.float(), batch.classes, class_weights)
            losses["classes"] = cross_entropy * relative_weight(batch)
            loss = loss + settings.class_weight * losses["classes"]
        if soft_palette:
            assert batch.classes is not None
            # Every process has the loss of the whole batch already, not of its share.
            iou = soft_iou_loss(soft_palette(fake), batch.classes, partial(sum_over, team))
            losses["iou"] = iou / batch.share
            loss = loss + settings.class_weight * losses["iou"]
        networks.generator_optimizer.zero_grad(set_to_none=True)
        (loss * batch.share).backward()  # type: ignore[no-untyped-call]
        networks.generator_optimizer.step()
        return {**losses, "g": loss}

    def judge(batch: Batch, fake: Tensor) -> Tensor:
        discriminator.requires_grad_(False)  # its gradients here would be thrown away
        with autocast(device, dtype):
            on_fake = discriminator(batch.source, fake)
        discriminator.requires_grad_(True)
        return generator_loss(kind, on_fake)

    def relative_weight(batch: Batch) -> Tensor | float:
        """Return what a pixel here weighs among all: the cross-entropy divides by the weights it sees."""
        if team.size == 1 or class_weights is None or batch.classes is None:
            return 1.0
        weight = class_weights[batch.classes].mean()
        return weight / team.mean({"weight": weight}, batch.share)["weight"]

    def step(batch: Batch, number: int) -> dict[str, Tensor]:
        with autocast(device, dtype):
            output = shared_generator(batch.source)
        bands = batch.target.shape[1]
        fake, logits = output[:, :bands], output[:, bands:]
        # Where nobody heeds the discriminator it is not trained either: half of the work.
        losses = update_discriminator(batch, fake) if settings.adversarial_weight else {}
        losses |= update_generator(batch, fake, logits)
        if networks.average is not None:
            # At first the average would be mostly the random start: let it follow closely, then more slowly.
            update_average(networks.average, generator, min(settings.ema, (1 + number) / (10 + number)))
        return team.mean(losses, batch.share)

    return step


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average towards the network: a ← decay·a + (1 - decay)·w, norm statistics included.

    The running statistics must be averaged too: those of the network belong to other weights.
    """
    both = list(zip(average.state_dict().values(), network.state_dict().values(), strict=True))
    averaged = [pair for pair in both if pair[0].is_floating_point()]
    # All tensors at once: on a GPU that is one launch instead of one a tensor.
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    move([mine for mine, _ in averaged], [theirs for _, theirs in averaged], 0)
    for mine, theirs in both:
        if not mine.is_floating_point():
            mine.copy_(theirs)


def learning_rate_factor(schedule: str, progress: float) -> float:
    """Return the factor on the learning rate at a progress in [0, 1).

    `linear` is the paper's code: constant for the first half, then down to 0. `cosine` is Loshchilov & Hutter
    2017 without restarts, after a warm-up over the first hundredth.
    """
    if schedule == "linear":
        return min(1.0, 2 * (1 - progress))
    if schedule == "cosine":
        warm_up = min(1.0, (progress + 1e-4) / 0.01)
        return warm_up * 0.5 * (1 + math.cos(math.pi * progress))
    return 1.0
