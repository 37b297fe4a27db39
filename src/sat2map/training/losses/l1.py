"""L1: the mean absolute difference of the maps' colours."""

from __future__ import annotations

from torch import Tensor

from sat2map.training.losses.loss import Loss, LossInputs


def l1_loss(inputs: LossInputs) -> Tensor:
    """Return the mean absolute difference, in units of the range [-1, 1] (the paper's equation 3).

    With `l1_weights` a pixel weighs as its class does; the weights are such that the mean pixel weighs 1.
    """
    difference = (inputs.fake.float() - inputs.target.float()).abs().mean(dim=1)
    if inputs.l1_weights is not None and inputs.classes is not None:
        valid_classes = inputs.classes.clamp_max(len(inputs.l1_weights) - 1)
        difference = difference * inputs.l1_weights[valid_classes]
    return inputs.pixel_mean(difference)


LOSS = Loss("l1", l1_loss)
