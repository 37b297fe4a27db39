"""The adversarial losses of discriminator and generator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sat2map.settings import Adversarial
from sat2map.training.losses.loss import Loss, LossInputs


def discriminator_loss(kind: Adversarial, logits: Tensor, *, real: bool) -> Tensor:
    """Return the discriminator's loss on pairs that are all real or all fake.

    `bce`: -log D or -log(1 - D), Goodfellow et al. 2014; `lsgan`: (D - 1)² or D², Mao et al. 2017;
    `hinge`: max(0, 1 ∓ D), Lim & Ye 2017.

    Args:
        kind: Which loss.
        logits: float (n, 1, h, w), any range.
        real: Whether the pairs are real.

    Returns:
        Scalar, mean over patches.
    """
    logits = logits.float()
    if kind == "hinge":
        return F.relu(1 - logits if real else 1 + logits).mean()
    labels = torch.full_like(logits, float(real))
    return F.binary_cross_entropy_with_logits(logits, labels) if kind == "bce" else F.mse_loss(logits, labels)


def generator_loss(kind: Adversarial, logits: Tensor) -> Tensor:
    """Return the generator's adversarial loss on the logits of its fakes.

    For `bce` and `lsgan` the fakes are to be taken for real (the non-saturating form of the paper, section
    3.3); for `hinge` it is -D.
    """
    if kind == "hinge":
        return -logits.float().mean()
    return discriminator_loss(kind, logits, real=True)


def adversarial_loss(inputs: LossInputs) -> Tensor:
    """Return the loss that the discriminator gives the fakes of this batch."""
    assert inputs.adversarial is not None
    return inputs.adversarial(inputs)


LOSS = Loss("adversarial", adversarial_loss)
