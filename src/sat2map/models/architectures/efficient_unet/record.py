"""The record of the palette generator (see `record.Architecture`)."""

from __future__ import annotations

from sat2map.extras import lazily
from sat2map.models.architectures.efficient_unet import pretrained
from sat2map.models.architectures.record import Architecture, OutputLayer, PretrainedEncoder

_HERE = "sat2map.models.architectures.efficient_unet"

ARCHITECTURES = (
    Architecture(
        name="efficient-unet",
        label="U-Net on an EfficientNet-Lite0 encoder",
        size_divisor=lambda spec: 32,
        build=lazily(f"{_HERE}.network", "EfficientUNet"),
        build_onnx=lazily(f"{_HERE}.onnx", "build_efficient_unet"),
        input_layer="encoder.stem.0",
        output_layer=lambda spec: OutputLayer("head.0", phases=4),
        gives_colours=True,
        options=(),
        encoder=PretrainedEncoder(
            name=pretrained.NAME,
            extra="encoder",
            prefix="encoder.",
            license=pretrained.LICENSE,
            is_installed=pretrained.is_installed,
            read=pretrained.read_encoder_weights,
        ),
    ),
)
