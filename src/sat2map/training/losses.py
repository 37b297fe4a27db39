"""Owns the losses: pure functions of tensors, computed in fp32 whatever the networks' precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Adversarial = Literal["bce", "lsgan", "hinge"]


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
    aim = torch.full_like(logits, float(real))
    return F.binary_cross_entropy_with_logits(logits, aim) if kind == "bce" else F.mse_loss(logits, aim)


def generator_loss(kind: Adversarial, logits: Tensor) -> Tensor:
    """Return the generator's adversarial loss on the logits of its fakes.

    For `bce` and `lsgan` the fakes are to be taken for real (the non-saturating form of the paper, section
    3.3); for `hinge` it is -D.
    """
    if kind == "hinge":
        return -logits.float().mean()
    return discriminator_loss(kind, logits, real=True)


def l1_loss(fake: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean absolute difference, in units of the range [-1, 1] (the paper's equation 3).

    Args:
        fake: float (n, bands, h, w) in [-1, 1].
        target: The same for the real maps.
        weights: float (n, h, w), the weight of each pixel, or None for equal weights.
    """
    difference = (fake.float() - target.float()).abs()
    return difference.mean() if weights is None else (difference * weights.unsqueeze(1)).mean()


def class_weights(frequencies: Tensor, balance: float) -> Tensor:
    """Return the weight of each map class, frequency^-balance, scaled so that the mean pixel weighs 1.

    Rare classes (highways are 1 to 2 % of a map) would otherwise cost less to leave out than to draw.

    Args:
        frequencies: float (classes,), each class's share of the pixels; sums to 1.
        balance: 0 for equal weights, 0.5 for one over the root, 1 for equal classes.

    Returns:
        float (classes,); 0 for a class that has no pixels.
    """
    seen = frequencies > 0
    weights = torch.where(seen, frequencies.clamp_min(1e-12) ** -balance, torch.zeros_like(frequencies))
    return weights / (weights * frequencies).sum()


def soft_iou_loss(
    probabilities: Tensor, classes: Tensor, total: Callable[[Tensor], Tensor] = lambda sums: sums
) -> Tensor:
    """Return 1 - the mean intersection over union of the map classes, with probabilities for pixel counts.

    It is what mean class IoU measures, made smooth (Rahman & Wang 2016, "Optimizing Intersection-Over-Union
    in Deep Neural Networks for Image Segmentation"). Where L1 is not sure which of two colours is right it
    paints one between them, which may be a third class's; here that gains nothing.

    Args:
        probabilities: float (n, classes, h, w); sum to 1 over the classes.
        classes: int64 (n, h, w), the true ones.
        total: Sums of this batch to those of all that share it; by default it is not shared.

    Returns:
        Scalar in [0, 1], the mean over the classes that occur in the batch.
    """
    truth = F.one_hot(classes, probabilities.shape[1]).movedim(-1, 1).to(probabilities.dtype)
    hits = (probabilities * truth).sum((0, 2, 3))
    sizes = (probabilities + truth).sum((0, 2, 3))
    hits, sizes, area = total(torch.stack([hits, sizes, truth.sum((0, 2, 3))])).unbind()
    seen = area > 0
    # No indexing by `seen`: the host would have to wait for the device to learn how many there are.
    ratios = torch.where(seen, hits / (sizes - hits).clamp_min(1e-6), 0)
    return 1 - ratios.sum() / seen.sum()
