"""The records of the ResNets of CycleGAN and pix2pixHD (see `record.Architecture`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sat2map.extras import lazily
from sat2map.models.architectures.record import Architecture, OutputLayer

if TYPE_CHECKING:
    from sat2map.models.architectures.spec import GeneratorSpec

_BLOCKS = {"resnet6": 6, "resnet9": 9}  # of CycleGAN, whose networks halve the image twice


def num_downsamplings(spec: GeneratorSpec) -> int:
    """Return how often the network halves the image."""
    return 2 if spec.architecture in _BLOCKS else spec.depth


def num_blocks(spec: GeneratorSpec) -> int:
    """Return the number of residual blocks."""
    return _BLOCKS.get(spec.architecture, spec.blocks)


def _output_layer(spec: GeneratorSpec) -> OutputLayer:
    return OutputLayer(f"body.{4 + 6 * num_downsamplings(spec) + num_blocks(spec) + 1}")


_HERE = "sat2map.models.architectures.resnet"


def _resnet(name: str, label: str, options: tuple[str, ...]) -> Architecture:
    return Architecture(
        name=name,
        label=label,
        size_divisor=lambda spec: 1 << num_downsamplings(spec),
        build=lazily(f"{_HERE}.network", "ResNet"),
        build_onnx=lazily(f"{_HERE}.onnx", "build_resnet"),
        input_layer="body.1",
        output_layer=_output_layer,
        default_depth=lambda crop_size: 4,  # pix2pixHD's; that of CycleGAN's two is fixed
        options=options,
    )


ARCHITECTURES = (
    _resnet("resnet6", "ResNet of 6 blocks", ("width", "norm", "upsample")),
    _resnet("resnet9", "ResNet of 9 blocks", ("width", "norm", "upsample")),
    _resnet("global", "ResNet of pix2pixHD", ("width", "depth", "blocks", "norm", "upsample")),
)
