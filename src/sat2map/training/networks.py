"""What a training changes: generator, discriminator, their optimizers and the moving average."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sat2map.models.architectures.blocks import init_weights
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.discriminator import PatchGAN
from sat2map.runtime import step_seed
from sat2map.settings import OptimizerSettings, TrainSettings
from sat2map.training.pretrained import encoder_of

_KINDS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@dataclass
class Networks:
    """Everything that a step changes.

    Groups of the optimizers have a `rate_factor` on the learning rate. There may be no moving average of the
    generator, and no scaler of the losses, which fp16 needs.
    """

    spec: GeneratorSpec
    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    average: nn.Module | None
    scaler: torch.amp.GradScaler | None = None

    @property
    def best_generator(self) -> nn.Module:
        """The generator to validate and keep: the moving average where there is one."""
        return self.generator if self.average is None else self.average

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = rate * group["rate_factor"]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor that a step changes, under a name that stays."""
        for name in ("generator", "discriminator", "average"):
            module = getattr(self, name)
            if module is not None:
                for key, tensor in module.state_dict().items():
                    yield f"{name}.{key}", tensor
        for name in ("generator_optimizer", "discriminator_optimizer"):
            optimizer: torch.optim.Optimizer = getattr(self, name)
            parameters = (p for group in optimizer.param_groups for p in group["params"])
            for i, parameter in enumerate(parameters):
                state: dict[str, Any] = optimizer.state[parameter]
                for key in sorted(state):
                    yield f"{name}.{i}.{key}", state[key]


def make_networks(
    settings: TrainSettings, spec: GeneratorSpec, device: torch.device, dtype: torch.dtype = torch.float32
) -> Networks:
    """Build and initialise both networks and their optimizers on the device, from the run's seed."""
    torch.manual_seed(step_seed(settings.compute.seed, "init"))
    generator = build_generator(spec)
    discriminator = PatchGAN(
        spec.source_bands + spec.target_bands,
        width=settings.network.discriminator_width,
        layers=settings.network.discriminator_layers,
        norm=settings.network.norm,
    )
    if not spec.colours:  # the paper's; a palette generator keeps PyTorch's, which suits its ReLU6
        init_weights(generator)
    init_weights(discriminator)
    for network in (generator, discriminator):
        # In channels_last the convolutions of both backends run without reordering their input.
        network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    average = copy.deepcopy(generator).requires_grad_(False) if settings.optimizer.ema else None
    encoder = encoder_of(settings)
    return Networks(
        spec,
        generator,
        discriminator,
        _make_optimizer(generator, settings.optimizer, slow_prefix=encoder.prefix if encoder else None),
        _make_optimizer(discriminator, settings.optimizer),
        average,
        torch.amp.GradScaler(device.type) if dtype == torch.float16 else None,
    )


def _make_optimizer(
    network: nn.Module, settings: OptimizerSettings, *, slow_prefix: str | None = None
) -> torch.optim.Optimizer:
    """Make an optimizer with its state already there, so that a checkpoint has one shape from step 0 on."""
    encoder: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (encoder if slow_prefix and name.startswith(slow_prefix) else rest).append(parameter)
    groups = [
        {"params": parameters, "rate_factor": factor}
        for parameters, factor in ((encoder, settings.encoder_rate), (rest, 1.0))
        if parameters
    ]
    fused = rest[0].device.type in ("cpu", "cuda")
    decay = {"weight_decay": settings.weight_decay} if settings.optimizer == "adamw" else {}
    optimizer: torch.optim.Optimizer = _KINDS[settings.optimizer](
        groups, lr=settings.learning_rate, betas=settings.betas, fused=fused, **decay
    )
    for parameter in (*encoder, *rest):
        optimizer.state[parameter] = {
            "step": torch.zeros((), device=parameter.device if fused else "cpu"),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer


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
