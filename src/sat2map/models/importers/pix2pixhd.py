"""The global generator of pix2pixHD, https://github.com/NVIDIA/pix2pixHD."""

from __future__ import annotations

from dataclasses import replace

from sat2map.errors import ModelFileError
from sat2map.models.importers.cyclegan import count_blocks, count_downsamplings, read_resnet
from sat2map.models.importers.found import Found, StateDict

KIND = "a global generator of pix2pixHD"


def read(weights: StateDict) -> Found | None:
    """Read a generator; None where the keys are those of something else.

    Raises:
        ModelFileError: They look like one, and do not fit; or they are those of the local enhancer.
    """
    if any(name.startswith("model1_1.") for name in weights):
        raise ModelFileError("it is a local enhancer of pix2pixHD, and only the global generator can be read")
    if count_blocks(weights) and count_downsamplings(weights) > 0:
        return replace(read_resnet(weights, KIND), image_size=1024)
    return None
