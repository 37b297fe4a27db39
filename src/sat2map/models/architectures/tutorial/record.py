"""The record of the tutorial's U-Net (see `record.Architecture`)."""

from __future__ import annotations

from sat2map.extras import lazily
from sat2map.models.architectures.record import Architecture
from sat2map.models.architectures.unet.record import deepest, output_layer

_HERE = "sat2map.models.architectures.tutorial"

ARCHITECTURES = (
    Architecture(
        name="tutorial",
        label="U-Net of a tutorial",
        size_divisor=lambda spec: 1 << spec.depth,
        build=lazily(f"{_HERE}.network", "TutorialUNet"),
        build_onnx=lazily(f"{_HERE}.onnx", "build_tutorial"),
        input_layer="down.0.conv",
        output_layer=output_layer,
        default_depth=deepest,
        least_divisor=32,
    ),
)
