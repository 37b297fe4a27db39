"""The record of the paper's U-Net (see `record.Architecture`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sat2map.extras import lazily
from sat2map.models.architectures.record import Architecture, OutputLayer

if TYPE_CHECKING:
    from sat2map.models.architectures.spec import GeneratorSpec


def _deepest(crop_size: int) -> int:
    """Return how often a size can be halved (256 → 8), which makes the bottleneck as small as it can be."""
    return max(2, (crop_size & -crop_size).bit_length() - 1)


def _output_layer(spec: GeneratorSpec) -> OutputLayer:
    """Return the last layer: an upsampling one (see `blocks.make_upsampling`)."""
    return {
        "transpose": OutputLayer("up.0.conv", transposed=True),
        "resize": OutputLayer("up.0.conv.1"),
        "shuffle": OutputLayer("up.0.conv.0", phases=4),
    }[spec.upsample]


_HERE = "sat2map.models.architectures.unet"

UNET = Architecture(
    name="unet",
    label="U-Net",
    size_divisor=lambda spec: 1 << spec.depth,
    build=lazily(f"{_HERE}.network", "UNet"),
    build_onnx=lazily(f"{_HERE}.onnx", "build_unet"),
    input_layer="down.0.conv",
    output_layer=_output_layer,
    default_depth=_deepest,
    least_divisor=32,
)
ARCHITECTURES = (UNET,)
