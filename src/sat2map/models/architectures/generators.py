"""The generators by name: `build_generator` turns a specification into a module."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from sat2map.models.architectures.efficient_unet.network import EfficientUNet
from sat2map.models.architectures.resnet.network import ResNet
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.architectures.tutorial.network import TutorialUNet
from sat2map.models.architectures.unet.network import UNet

GENERATORS: dict[str, Callable[[GeneratorSpec], nn.Module]] = {
    "efficient-unet": EfficientUNet,
    "global": ResNet,
    "resnet6": ResNet,
    "resnet9": ResNet,
    "tutorial": TutorialUNet,
    "unet": UNet,
}


def build_generator(spec: GeneratorSpec) -> nn.Module:
    """Build the generator that `spec` describes, with PyTorch's own initial weights."""
    return GENERATORS[spec.architecture](spec)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable numbers in a network."""
    return sum(parameter.numel() for parameter in network.parameters())
