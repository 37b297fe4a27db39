"""The losses of the generator, a file each: what it minimises is their weighted sum.

A loss is a module of this package with a record `LOSS`. A loss from elsewhere is added with `register`. Its
weight is the setting `NAME_weight`, or an entry of the setting `extra`.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from sat2map.errors import SettingsError, nearest
from sat2map.settings import LossSettings
from sat2map.training.losses.loss import Loss, LossInputs

LOSSES: dict[str, Loss] = {}
"""All known losses by name."""


def register(loss: Loss) -> Loss:
    """Make a loss known."""
    LOSSES[loss.name] = loss
    return loss


for _module in sorted(iter_modules(__path__), key=lambda found: found.name):
    _found = getattr(import_module(f"{__name__}.{_module.name}"), "LOSS", None)
    if isinstance(_found, Loss):
        register(_found)


def weight_of(name: str, settings: LossSettings) -> float:
    """Return the weight of a loss; 0 leaves it out."""
    field = f"{name}_weight"
    if field in type(settings).model_fields:
        return float(getattr(settings, field))
    return settings.extra.get(name, 0.0)


def active_losses(settings: LossSettings, *, has_labels: bool, has_logits: bool) -> dict[str, float]:
    """Return the weights of the losses that a training computes, by name.

    Raises:
        SettingsError: A weight is that of an unknown loss, or no loss is left.
    """
    for name in settings.extra:
        if name not in LOSSES:
            raise SettingsError(f"no loss is called '{name}'", hint=nearest(name, LOSSES), setting="extra")
    active = {
        name: weight
        for name, loss in LOSSES.items()
        if (weight := weight_of(name, settings))
        and (has_labels or not loss.needs_labels)
        and (has_logits or not loss.needs_logits)
    }
    if not active:
        raise SettingsError("no loss is left to train with", hint="give l1 a weight", setting="l1_weight")
    return active


__all__ = ["LOSSES", "Loss", "LossInputs", "active_losses", "register", "weight_of"]
