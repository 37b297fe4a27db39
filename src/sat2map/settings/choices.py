"""What settings may be that have a few values by name."""

from __future__ import annotations

from typing import Literal

Direction = Literal["source-to-target", "target-to-source"]
Precision = Literal["auto", "fp32", "bf16"]  # of inference
TrainPrecision = Literal["auto", "fp32", "bf16", "fp16"]
Norm = Literal["batch", "instance", "group", "none"]
Upsample = Literal["transpose", "resize", "shuffle"]
Augment = Literal["none", "flip", "symmetries"]
Adversarial = Literal["bce", "lsgan", "hinge"]
InferenceMode = Literal["eval", "paper"]
Skips = Literal["auto", "old", "new"]  # order in which a U-Net of another project concatenates
DataSetName = Literal["maps", "facades", "cityscapes"]
TownLayout = Literal["side-by-side", "folders"]
Compression = Literal["deflate", "zstd", "lzw", "lerc", "webp", "none"]  # all of them lossless
Device = Literal["auto", "cpu", "cuda", "mps"]
EngineName = str  # `auto`, or a folder of `inference/backends/`
ExportFormat = Literal[
    "onnx",
    "openvino",
    "onnx-int8",
    "openvino-int8",
    "pt2",
    "pth",
    "pytorch-cyclegan",
    "web",
    "mlm",
    "deepness",
]
