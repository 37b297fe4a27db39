"""A palette on the device: which class a label has, what it looks like, and what it weighs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sat2map.images.palette import Palette
from sat2map.images.palette.labels import IGNORED
from sat2map.settings import LossSettings
from sat2map.training.losses.cross_entropy import class_weights


@dataclass(frozen=True)
class PaletteTensors:
    """Colours, classes and weights; a label is the index of a colour, 255 where a pixel is ignored.

    Attributes:
        palette: The palette itself.
        colours: float (colours, 3) in [-1, 1].
        class_table: int64 (256,), the class of each label; 255 stays 255.
        class_weights: float (classes,), for the cross-entropy.
        l1_weights: float (classes,), for L1; None: all the same.
    """

    palette: Palette
    colours: Tensor
    class_table: Tensor
    class_weights: Tensor
    l1_weights: Tensor | None

    @classmethod
    def of(
        cls, palette: Palette, frequencies: Tensor, settings: LossSettings, device: torch.device
    ) -> PaletteTensors:
        """Put a palette onto the device.

        Frequencies are each class's share of the training pixels, float (classes,).
        """
        table = torch.full((256,), IGNORED, dtype=torch.long)
        class_of_colour = torch.from_numpy(palette.class_of_colour).long()
        table[: len(class_of_colour)] = class_of_colour
        weights = (
            class_weights(frequencies, b).float() for b in (settings.class_balance, settings.l1_balance)
        )
        ce_weights, l1_weights = weights
        return cls(
            palette,
            (torch.from_numpy(palette.colours).float() / 127.5 - 1).to(device),
            table.to(device),
            ce_weights.to(device),
            l1_weights.to(device) if settings.l1_balance else None,
        )

    @property
    def colour_weights(self) -> Tensor:
        """Weight of each colour in the cross-entropy, float (colours,): that of its class."""
        return self.class_weights[self.class_table[: len(self.colours)]]

    def draw(self, labels: Tensor) -> Tensor:
        """Return the map of labels, int64 (n, h, w), as float (n, 3, h, w) in [-1, 1]."""
        return self.colours[labels.clamp_max(len(self.colours) - 1)].movedim(-1, 1)

    def mix(self, probabilities: Tensor) -> Tensor:
        """Return the colours mixed by probability, float (n, 3, h, w), of float (n, colours, h, w)."""
        return torch.einsum("nkhw,kc->nchw", probabilities, self.colours)

    def class_probabilities(self, probabilities: Tensor) -> Tensor:
        """Add up the probabilities of each class's colours: float (n, classes, h, w)."""
        counts = [len(one.colours) for one in self.palette.classes]
        return torch.stack([group.sum(dim=1) for group in torch.split(probabilities, counts, dim=1)], dim=1)
