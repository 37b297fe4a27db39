"""The record of the tutorial's U-Net (see `record.Architecture`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sat2map.models.architectures.record import Architecture
from sat2map.models.architectures.unet.record import halvings_of, output_layer

if TYPE_CHECKING:
    from torch import nn

    from sat2map.models.architectures.spec import GeneratorSpec
    from sat2map.models.onnx.graph import GraphBuilder, Tail


def _build(spec: GeneratorSpec) -> nn.Module:
    from sat2map.models.architectures.tutorial.network import TutorialUNet

    return TutorialUNet(spec)


def _build_onnx(graph: GraphBuilder, source: str) -> Tail:
    from sat2map.models.architectures.tutorial.onnx import build_tutorial

    return build_tutorial(graph, source)


ARCHITECTURES = (
    Architecture(
        name="tutorial",
        label="U-Net of a tutorial",
        size_divisor=lambda spec: 1 << spec.depth,
        build=_build,
        build_onnx=_build_onnx,
        input_layer="down.0.conv",
        output_layer=output_layer,
        default_depth=halvings_of,
        least_divisor=32,
    ),
)
