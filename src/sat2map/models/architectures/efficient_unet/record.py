"""The record of the palette generator (see `record.Architecture`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sat2map.models.architectures.efficient_unet import pretrained
from sat2map.models.architectures.record import Architecture, OutputLayer, PretrainedEncoder

if TYPE_CHECKING:
    from torch import nn

    from sat2map.models.architectures.spec import GeneratorSpec
    from sat2map.models.onnx.graph import GraphBuilder, Tail


def _build(spec: GeneratorSpec) -> nn.Module:
    from sat2map.models.architectures.efficient_unet.network import EfficientUNet

    return EfficientUNet(spec)


def _build_onnx(graph: GraphBuilder, source: str) -> Tail:
    from sat2map.models.architectures.efficient_unet.onnx import build_efficient_unet

    return build_efficient_unet(graph, source)


ARCHITECTURES = (
    Architecture(
        name="efficient-unet",
        label="U-Net on an EfficientNet-Lite0 encoder",
        size_divisor=lambda spec: 32,
        build=_build,
        build_onnx=_build_onnx,
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
