"""What a loss is, and what it is computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from sat2map.training.ddp import all_reduce_sum
from sat2map.training.distributed import SINGLE_PROCESS, DistributedContext


@dataclass(frozen=True)
class LossInputs:
    """A batch, what the generator made of it, and what a loss may need to know.

    Attributes:
        source: float (n, source_bands, h, w) in [-1, 1].
        target: float (n, target_bands, h, w) in [-1, 1].
        fake: The generated map, likewise; of a palette generator the palette's colours mixed by probability.
        logits: float (n, k, h, w), of the palette's colours or of the map classes; None: there are none.
        labels: int64 (n, h, w), which of the k are right, 255 where a pixel is ignored; None: no palette.
        classes: The same for the map classes.
        class_probabilities: Returns float (n, classes, h, w), which sum to 1 over the classes.
        l1_weights: float (classes,), weight of a pixel in the L1 loss by its class; None: all the same.
        label_weights: float (k,), weight of a pixel in the cross-entropy by its label; None: all the same.
        adversarial: Returns the adversarial loss of the fakes of given inputs, a scalar.
        share: What a mean over these rows weighs in the mean over the processes; 1 where they have as many.
        context: The processes that share the batch.
    """

    source: Tensor
    target: Tensor
    fake: Tensor
    logits: Tensor | None = None
    labels: Tensor | None = None
    classes: Tensor | None = None
    class_probabilities: Callable[[], Tensor] | None = None
    l1_weights: Tensor | None = None
    label_weights: Tensor | None = None
    adversarial: Callable[[LossInputs], Tensor] | None = None
    share: float = 1.0
    context: DistributedContext = field(default=SINGLE_PROCESS)

    @cached_property
    def valid(self) -> Tensor | None:
        """Which pixels count, float (n, h, w), 0 or 1; None: all do."""
        return None if self.labels is None else (self.labels != 255).float()

    def pixel_mean(self, values: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the weighted mean of what each pixel costs over the whole batch, ignored pixels left out.

        Several processes each return their part, scaled so that the mean over them is that of the batch.

        Args:
            values: float (n, h, w).
            weights: float (n, h, w), the weight of each pixel; None: 1 each.
        """
        if self.valid is not None:
            weights = self.valid if weights is None else weights * self.valid
        if weights is None:
            return values.mean()
        sums = torch.stack([(values * weights).sum(), weights.sum()])
        if self.context.size == 1:
            return sums[0] / sums[1].clamp_min(1e-6)
        total = all_reduce_sum(self.context, sums[1].detach())
        return sums[0] * (self.context.size / self.share) / total.clamp_min(1e-6)

    def batch_sum(self, sums: Tensor) -> Tensor:
        """Return sums of these rows as those of the whole batch; gradients flow back to all processes."""
        return all_reduce_sum(self.context, sums)


@dataclass(frozen=True)
class Loss:
    """A loss of the generator.

    Attributes:
        name: In settings (`NAME_weight`) and metrics.
        compute: Returns the loss of a batch, a scalar in fp32, unweighted.
        needs_labels: Whether the target needs a palette.
        needs_logits: Whether the generator must give logits.
    """

    name: str
    compute: Callable[[LossInputs], Tensor]
    needs_labels: bool = False
    needs_logits: bool = False
