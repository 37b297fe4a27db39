"""Owns the networks by name: `build_generator` turns a specification into a module."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from sat2map.nets.blocks import init_weights
from sat2map.nets.patchgan import PatchGAN
from sat2map.nets.resnet import ResNet
from sat2map.nets.tutorial import TutorialUNet
from sat2map.nets.unet import UNet
from sat2map.settings import GeneratorSpec

__all__ = [
    "GENERATORS",
    "PatchGAN",
    "ResNet",
    "TutorialUNet",
    "UNet",
    "build_generator",
    "count_parameters",
    "init_weights",
]

GENERATORS: dict[str, Callable[[GeneratorSpec], nn.Module]] = {
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
