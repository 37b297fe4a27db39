"""One update of the discriminator and one of the generator, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from sat2map.runtime import autocast
from sat2map.settings import LossSettings, OptimizerSettings
from sat2map.training.ddp import wrap_ddp
from sat2map.training.distributed import SINGLE_PROCESS, DistributedContext
from sat2map.training.losses import LOSSES, LossInputs, active_losses
from sat2map.training.losses.adversarial import discriminator_loss, generator_loss
from sat2map.training.networks import Networks, update_average
from sat2map.training.palette_tensors import PaletteTensors
from sat2map.training.soft_palette import SoftPalette


@dataclass(frozen=True)
class Batch:
    """One batch on the device.

    Attributes:
        source: float (n, source_bands, h, w) in [-1, 1].
        target: float (n, target_bands, h, w) in [-1, 1]; None: it is what the labels look like.
        labels: int64 (n, h, w), the palette colour nearest to each target pixel, 255 where it is ignored;
            None where there is no palette.
        share: What a mean over these rows weighs in the mean over the processes; 1 where they have as many.
    """

    source: Tensor
    target: Tensor | None
    labels: Tensor | None = None
    share: float = 1.0

    def split(self, parts: int) -> list[Batch]:
        """Cut the batch into so many parts, or one per row."""
        count = min(parts, len(self.source))
        ends = [i * len(self.source) // count for i in range(count + 1)]
        rows = [slice(first, end) for first, end in pairwise(ends)]
        return [
            Batch(
                self.source[part],
                None if self.target is None else self.target[part],
                None if self.labels is None else self.labels[part],
                self.share,
            )
            for part in rows
        ]


class TrainStep:
    """Updates the networks by one batch.

    Losses are fp32, whatever the `dtype` of the networks. Each of several processes calls it with its rows.

    Raises:
        SettingsError: No loss is left to train with, or a weight is that of an unknown loss.
    """

    def __init__(
        self,
        networks: Networks,
        loss: LossSettings,
        optimizer: OptimizerSettings,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        palette: PaletteTensors | None = None,
        context: DistributedContext = SINGLE_PROCESS,
    ) -> None:
        self._networks = networks
        self._settings = loss
        self._optimizer = optimizer
        self._device, self._dtype = device, dtype
        self._palette = palette
        self._context = context
        self._weights = active_losses(
            loss,
            has_labels=palette is not None,
            has_logits=bool(networks.spec.colours or networks.spec.classes),
        )
        # A discriminator that no loss asks is not trained either: half of the work.
        self._is_adversarial = "adversarial" in self._weights
        self._generator = wrap_ddp(networks.generator, context, optimizer.batch_size)
        self._discriminator = (
            wrap_ddp(networks.discriminator, context, optimizer.batch_size)
            if self._is_adversarial
            else networks.discriminator
        )
        needs_classes = palette is not None and not networks.spec.colours
        self._soft_palette = SoftPalette(palette.palette, device) if palette and needs_classes else None

    def __call__(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Make one update of each network.

        With accumulation the generator meets the discriminator before its update; otherwise after it, as in
        the paper.

        Args:
            batch: This process's rows of the batch.
            number: The step's number, from 0.

        Returns:
            The losses by name, as scalars on the device (no synchronisation), means over the whole batch.
        """
        networks = self._networks
        parts = batch.split(self._optimizer.accumulate)
        networks.generator_optimizer.zero_grad(set_to_none=True)
        if self._is_adversarial:
            networks.discriminator_optimizer.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=self._device))
        for part in parts:
            fraction = len(part.source) / len(batch.source)
            inputs = self._generate(part)
            if self._is_adversarial:
                for name, value in self._backward_discriminator(inputs, fraction).items():
                    losses[name] = losses[name] + fraction * value.detach()
                if len(parts) == 1:
                    self._step(networks.discriminator_optimizer)
            for name, value in self._backward_generator(inputs, fraction).items():
                losses[name] = losses[name] + fraction * value.detach()
        if self._is_adversarial and len(parts) > 1:
            self._step(networks.discriminator_optimizer)
        self._step(networks.generator_optimizer)
        if networks.scaler:
            networks.scaler.update()
        if networks.average is not None:
            # At first the average would be mostly the random start: let it follow closely, then more slowly.
            decay = min(self._optimizer.ema, (1 + number) / (10 + number))
            update_average(networks.average, networks.generator, decay)
        return self._context.mean(losses, batch.share)

    def _generate(self, batch: Batch) -> LossInputs:
        """Run the generator and gather what the losses need."""
        spec, palette, labels = self._networks.spec, self._palette, batch.labels
        with autocast(self._device, self._dtype):
            output = self._generator(batch.source)
        classes = None if palette is None or labels is None else palette.class_table[labels]
        probabilities: Callable[[], Tensor] | None = None
        if spec.colours:
            assert palette is not None
            assert labels is not None
            logits: Tensor | None = output.float()
            by_colour = output.float().softmax(dim=1)
            fake, target = palette.mix(by_colour), palette.draw(labels)
            label_weights: Tensor | None = palette.colour_weights
            probabilities = partial(palette.class_probabilities, by_colour)
        else:
            assert batch.target is not None
            fake, target = output[:, : spec.target_bands], batch.target
            logits = output[:, spec.target_bands :] if spec.classes else None
            labels = classes
            label_weights = None if palette is None else palette.class_weights
            probabilities = None if self._soft_palette is None else partial(self._soft_palette, fake)
        return LossInputs(
            source=batch.source,
            target=target,
            fake=fake,
            logits=logits,
            labels=labels,
            classes=classes,
            class_probabilities=probabilities,
            l1_weights=None if palette is None else palette.l1_weights,
            label_weights=label_weights,
            adversarial=self._adversarial_loss,
            share=batch.share,
            context=self._context,
        )

    def _backward_discriminator(self, inputs: LossInputs, fraction: float) -> dict[str, Tensor]:
        kind = self._settings.adversarial
        with autocast(self._device, self._dtype):
            on_real = self._discriminator(inputs.source, _visible(inputs, inputs.target))
            on_fake = self._discriminator(inputs.source, _visible(inputs, inputs.fake).detach())
        d_real = discriminator_loss(kind, on_real, real=True)
        d_fake = discriminator_loss(kind, on_fake, real=False)
        # "We divide the objective by 2 while optimizing D", section 3.3.
        loss = (d_real + d_fake) / 2
        self._backward(loss * (inputs.share * fraction))
        return {"d_real": d_real, "d_fake": d_fake, "d": loss}

    def _backward_generator(self, inputs: LossInputs, fraction: float) -> dict[str, Tensor]:
        losses = {name: LOSSES[name].compute(inputs) for name in self._weights}
        loss = sum(weight * losses[name] for name, weight in self._weights.items())
        assert isinstance(loss, Tensor)
        self._backward(loss * (inputs.share * fraction))
        return {**losses, "g": loss}

    def _adversarial_loss(self, inputs: LossInputs) -> Tensor:
        with _frozen(self._networks.discriminator), autocast(self._device, self._dtype):
            on_fake = self._networks.discriminator(inputs.source, _visible(inputs, inputs.fake))
        return generator_loss(self._settings.adversarial, on_fake)

    def _backward(self, loss: Tensor) -> None:
        scaler = self._networks.scaler
        (scaler.scale(loss) if scaler else loss).backward()  # type: ignore[no-untyped-call]

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        if self._networks.scaler:
            self._networks.scaler.step(optimizer)
        else:
            optimizer.step()


def _visible(inputs: LossInputs, image: Tensor) -> Tensor:
    """Return an image with ignored pixels in mid-grey: the discriminator cannot tell them apart."""
    return image if inputs.valid is None else image * inputs.valid.unsqueeze(1).to(image.dtype)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Compute no gradients for a network's weights: they would be thrown away."""
    network.requires_grad_(False)
    yield
    network.requires_grad_(True)
