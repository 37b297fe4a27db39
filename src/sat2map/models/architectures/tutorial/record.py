"""The record of the tutorial's U-Net (see `record.Architecture`): that of the paper's, built otherwise."""

from __future__ import annotations

from dataclasses import replace

from sat2map.extras import lazily
from sat2map.models.architectures.unet.record import UNET

_HERE = "sat2map.models.architectures.tutorial"

ARCHITECTURES = (
    replace(
        UNET,
        name="tutorial",
        label="U-Net of a tutorial",
        build=lazily(f"{_HERE}.network", "TutorialUNet"),
        build_onnx=lazily(f"{_HERE}.onnx", "build_tutorial"),
    ),
)
