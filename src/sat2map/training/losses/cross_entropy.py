"""Cross-entropy of the palette's colours or of the map classes, rare ones weighted up."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sat2map.training.losses.loss import Loss, LossInputs


def cross_entropy_loss(inputs: LossInputs) -> Tensor:
    """Return the weighted mean of -log p(label) over all pixels that are not ignored."""
    assert inputs.logits is not None
    assert inputs.labels is not None
    logits = inputs.logits.float()
    costs = F.cross_entropy(logits, inputs.labels, ignore_index=255, reduction="none")
    if inputs.label_weights is None:
        return inputs.pixel_mean(costs)
    known = inputs.labels.clamp_max(logits.shape[1] - 1)  # ignored pixels weigh 0 below
    return inputs.pixel_mean(costs, inputs.label_weights[known])


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


LOSS = Loss("cross_entropy", cross_entropy_loss, needs_labels=True, needs_logits=True)
