"""The numbers of the palette generator, which the PyTorch module and the ONNX graph share."""

from __future__ import annotations

from typing import NamedTuple

BATCH_NORM_EPSILON = 1e-3  # TensorFlow's, which the pretrained encoders were trained with
BATCH_NORM_MOMENTUM = 0.02  # running statistics over about 50 steps: batches here are small
STEM_CHANNELS = 32
DECODER_CHANNELS = (64, 48, 32, 24)


class EncoderStage(NamedTuple):
    """A row of table 1 of the EfficientNet paper: blocks that share kernel, expansion and channels."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# EfficientNet-Lite0: EfficientNet-B0 (Tan & Le 2019, https://arxiv.org/abs/1905.11946, table 1) with ReLU6
# and without squeeze-and-excitation.
LITE0 = (
    EncoderStage(1, 3, 1, 1, 16),
    EncoderStage(2, 3, 2, 6, 24),
    EncoderStage(2, 5, 2, 6, 40),
    EncoderStage(3, 3, 2, 6, 80),
    EncoderStage(3, 5, 1, 6, 112),
    EncoderStage(4, 5, 2, 6, 192),
    EncoderStage(1, 3, 1, 6, 320),
)


def same_padding(kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after an image whose side is a multiple of the stride: TensorFlow's SAME.

    At stride 2 there is one less before than after. Symmetric padding would shift the features of a
    pretrained encoder by half a pixel at every stride.
    """
    total = kernel - stride
    return total // 2, total - total // 2
