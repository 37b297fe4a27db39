"""The pretrained encoder that a training starts from, out of an installed package."""

from __future__ import annotations

from torch import nn

from sat2map.errors import MissingExtraError, SettingsError
from sat2map.models.architectures.efficient_unet.network import EfficientUNet
from sat2map.models.architectures.efficient_unet.pretrained import NAME, is_installed, read_encoder_weights
from sat2map.settings import TrainSettings, change


def resolve_pretrained(settings: TrainSettings) -> tuple[TrainSettings, str]:
    """Decide what `pretrained = "auto"` means on this machine.

    Returns:
        The settings with a name or `none`, and a note for the user; "" where there is nothing to say.

    Raises:
        SettingsError: No encoder has that name, or the generator has no encoder.
        MissingExtraError: The package of the encoder is not installed.
    """
    wanted, has_encoder = settings.network.pretrained, settings.network.generator == "efficient-unet"
    if wanted == "none" or (wanted == "auto" and not has_encoder):
        return change(settings, pretrained="none"), ""
    if wanted not in ("auto", NAME):
        raise SettingsError(
            f"no pretrained encoder is called '{wanted}'",
            hint=f"known: auto, none, {NAME}",
            setting="pretrained",
        )
    if not has_encoder:
        raise SettingsError(
            f"generator '{settings.network.generator}' has no encoder for pretrained weights",
            hint="leave it at none",
            setting="pretrained",
        )
    if is_installed():
        return change(settings, pretrained=NAME), ""
    if wanted == NAME:
        raise MissingExtraError(f"pretrained = '{NAME}'", "encoder")
    note = (
        "no pretrained encoder is installed, so training starts from random weights and needs several times "
        "as long: install the extra 'encoder' for a better start"
    )
    return change(settings, pretrained="none"), note


def load_pretrained(generator: nn.Module, bands: int) -> None:
    """Put the weights of the installed encoder into a generator.

    Args:
        generator: An `EfficientUNet`.
        bands: Bands of its source; the first layer is widened to them.

    Raises:
        ModelFileError: The package holds other weights than those that we know.
    """
    assert isinstance(generator, EfficientUNet)
    generator.encoder.load_state_dict(read_encoder_weights(bands))
