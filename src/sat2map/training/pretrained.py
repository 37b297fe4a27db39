"""Pretrained weights that a training starts from: which, and into which part of the generator."""

from __future__ import annotations

from torch import nn

from sat2map.errors import MissingExtraError, SettingsError
from sat2map.models.architectures.record import PretrainedEncoder
from sat2map.models.architectures.registry import find_architecture
from sat2map.settings import TrainSettings, change


def resolve_pretrained(settings: TrainSettings) -> tuple[TrainSettings, str]:
    """Decide what `pretrained = "auto"` means on this machine.

    Returns:
        The settings with a name or `none`, and a note for the user; "" where there is nothing to say.

    Raises:
        SettingsError: No encoder has that name, or the generator has no encoder.
        MissingExtraError: The package of the encoder is not installed.
    """
    wanted, encoder = settings.network.pretrained, find_architecture(settings.network.generator).encoder
    if wanted == "none" or (wanted == "auto" and encoder is None):
        return change(settings, pretrained="none"), ""
    if encoder is None:
        raise SettingsError(
            f"generator '{settings.network.generator}' has no encoder for pretrained weights",
            hint="leave it at none",
            setting="pretrained",
        )
    if wanted not in ("auto", encoder.name):
        raise SettingsError(
            f"no pretrained encoder is called '{wanted}'",
            hint=f"known: auto, none, {encoder.name}",
            setting="pretrained",
        )
    if encoder.is_installed():
        return change(settings, pretrained=encoder.name), ""
    if wanted == encoder.name:
        raise MissingExtraError(f"pretrained = '{encoder.name}'", encoder.extra)
    note = (
        "no pretrained encoder is installed, so training starts from random weights and needs several times "
        f"as long: install the extra '{encoder.extra}' for a better start"
    )
    return change(settings, pretrained="none"), note


def encoder_of(settings: TrainSettings) -> PretrainedEncoder | None:
    """Return the pretrained encoder of resolved settings; None where the training starts without one."""
    if settings.network.pretrained in ("none", "auto"):
        return None
    return find_architecture(settings.network.generator).encoder


def load_pretrained(generator: nn.Module, encoder: PretrainedEncoder, bands: int) -> None:
    """Put the weights of an installed encoder into a generator.

    Its first layer is widened to the bands of the source.

    Raises:
        ModelFileError: The package holds other weights than those that are known.
    """
    weights = {f"{encoder.prefix}{name}": tensor for name, tensor in encoder.read(bands).items()}
    generator.load_state_dict({**generator.state_dict(), **weights})
