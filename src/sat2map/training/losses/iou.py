"""Soft IoU of the map classes."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sat2map.training.losses.loss import Loss, LossInputs


def iou_loss(inputs: LossInputs) -> Tensor:
    """Return the soft IoU loss of the batch; every process has that of the whole batch, not of its share."""
    assert inputs.class_probabilities is not None
    assert inputs.classes is not None
    loss = soft_iou_loss(inputs.class_probabilities(), inputs.classes, inputs.batch_sum)
    return loss / inputs.share


def soft_iou_loss(
    probabilities: Tensor, classes: Tensor, total: Callable[[Tensor], Tensor] = lambda sums: sums
) -> Tensor:
    """Return 1 - the mean intersection over union of the map classes, with probabilities for pixel counts.

    It is what mean class IoU measures, made smooth (Rahman & Wang 2016, "Optimizing Intersection-Over-Union
    in Deep Neural Networks for Image Segmentation"). Where L1 is not sure which of two colours is right it
    paints one between them, which may be a third class's; here that gains nothing.

    Args:
        probabilities: float (n, classes, h, w); sum to 1 over the classes.
        classes: int64 (n, h, w), the true ones; 255 where a pixel is ignored.
        total: Sums of this batch to those of all that share it; by default it is not shared.

    Returns:
        Scalar in [0, 1], the mean over the classes that occur in the batch.
    """
    count = probabilities.shape[1]
    # Ignored pixels are of one class more, which is cut off again, and have no probability.
    truth = F.one_hot(classes.clamp_max(count), count + 1)[..., :count].movedim(-1, 1)
    truth = truth.to(probabilities.dtype)
    probabilities = probabilities * truth.sum(dim=1, keepdim=True)
    hits = (probabilities * truth).sum((0, 2, 3))
    sizes = (probabilities + truth).sum((0, 2, 3))
    hits, sizes, area = total(torch.stack([hits, sizes, truth.sum((0, 2, 3))])).unbind()
    seen = area > 0
    # No indexing by `seen`: the host would have to wait for the device to learn how many there are.
    ratios = torch.where(seen, hits / (sizes - hits).clamp_min(1e-6), 0)
    return 1 - ratios.sum() / seen.sum().clamp_min(1)


LOSS = Loss("iou", iou_loss, needs_labels=True)
