"""From a specification to a PyTorch module."""

from __future__ import annotations

from torch import nn

from sat2map.models.architectures.registry import find_architecture
from sat2map.models.architectures.spec import GeneratorSpec


def build_generator(spec: GeneratorSpec) -> nn.Module:
    """Build the generator that `spec` describes, with PyTorch's own initial weights."""
    return find_architecture(spec.architecture).build(spec)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable numbers in a network."""
    return sum(parameter.numel() for parameter in network.parameters())
