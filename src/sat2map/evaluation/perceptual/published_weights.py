"""Loading of published weights into networks, strictly; an error says what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from sat2map.errors import ModelFileError
from sat2map.evaluation.perceptual.inception import FidInception
from sat2map.evaluation.perceptual.lpips import AlexNet, Lpips, LpipsHeads
from sat2map.models.importers.state_dicts import read_state_dicts
from sat2map.runtime import pick_device
from sat2map.settings import Device

_Network = TypeVar("_Network", bound=nn.Module)
_BATCH_COUNT = "num_batches_tracked"  # of batch norm; files of old versions of PyTorch lack it


class Published(NamedTuple):
    """Published weights of a network.

    `setting` is the argument of `evaluate` that takes their file.
    """

    what: str
    setting: str
    file: str
    where: str
    sha256: str


INCEPTION = Published(
    "FID's Inception",
    "inception",
    "pt_inception-2015-12-05-6726825d.pth",
    "a release of mseitzer/pytorch-fid on GitHub",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
BACKBONE = Published(
    "AlexNet",
    "lpips",
    "alexnet-owt-7be5be79.pth",
    "torchvision, on download.pytorch.org/models",
    "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
)
HEADS = Published(
    "LPIPS's heads for AlexNet",
    "lpips",
    "alex.pth",
    "richzhang/PerceptualSimilarity on GitHub, in lpips/weights/v0.1",
    "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
)

# What else people have at hand, by a key and its shape, the tell-tale ones first.
_KNOWN: tuple[tuple[str, tuple[int, ...] | None, str], ...] = (
    ("AuxLogits.fc.weight", None, "torchvision's own Inception, whose features give other numbers"),
    ("fc.weight", (1008, 2048), INCEPTION.what),
    ("Mixed_7c.branch_pool.conv.weight", None, "an Inception, but not FID's"),
    ("features.0.weight", (64, 3, 11, 11), BACKBONE.what),
    ("features.28.weight", None, "VGG"),
    ("lin6.model.1.weight", None, "LPIPS's heads for SqueezeNet"),
    ("lin1.model.1.weight", (1, 128, 1, 1), "LPIPS's heads for VGG"),
    ("lin0.model.1.weight", (1, 64, 1, 1), HEADS.what),
    ("layer1.0.conv1.weight", None, "a ResNet"),
)


def open_inception(path: Path, device: Device = "auto") -> FidInception:
    """Build the Inception of FID from pytorch-fid's file (.pth, or the same tensors as .safetensors).

    Raises:
        ModelFileError: The file is missing, damaged, or of another network.
        SettingsError: The device is not on this machine.
    """
    network = _open(path, FidInception, INCEPTION).to(pick_device(device))
    # Twice as fast on a CPU, at 8 images a batch.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def open_lpips(backbone: Path, heads: Path, device: Device = "auto") -> Lpips:
    """Build LPIPS from torchvision's file of AlexNet and the authors' file of heads.

    Raises:
        ModelFileError: A file is missing, damaged, or of another network.
        SettingsError: The device is not on this machine.
    """
    alexnet = _open(backbone, AlexNet, BACKBONE)
    del alexnet.classifier  # 94 % of the weights, which LPIPS does not look at
    return Lpips(alexnet, _open(heads, LpipsHeads, HEADS)).eval().to(pick_device(device))


def _open(path: Path, build: Callable[[], _Network], wanted: Published) -> _Network:

    def refuse(problem: str) -> ModelFileError:
        expected = f"expected {wanted.what}: {wanted.file}, from {wanted.where}"
        return ModelFileError(problem, hint=expected, setting=wanted.setting)

    if not path.is_file():
        raise refuse(f"{path} does not exist")
    try:
        _, weights = read_state_dicts(path)[0]
    except ModelFileError as error:
        raise refuse(str(error)) from None
    with torch.device("meta"):  # only names and shapes: the file has the rest
        network = build()
    if not _fits(weights, network):
        raise refuse(f"{path} looks like {_look(weights, wanted)}")
    weights = {name: w.float() if w.is_floating_point() else w for name, w in weights.items()}
    if not all(bool(torch.isfinite(w).all()) for w in weights.values()):
        raise refuse(f"{path} is damaged: it has weights that are not finite")
    network.load_state_dict(weights, strict=True, assign=True)
    return network.eval()


def _fits(weights: Mapping[str, Tensor], network: nn.Module) -> bool:
    mine, theirs = (
        {name: tuple(w.shape) for name, w in tensors.items() if not name.endswith(_BATCH_COUNT)}
        for tensors in (network.state_dict(), weights)
    )
    return mine == theirs


def _look(weights: Mapping[str, Tensor], wanted: Published) -> str:
    """Say in a few words whose weights these are, which are not those that are wanted."""
    for key, shape, words in _KNOWN:
        if key in weights and shape in (None, tuple(weights[key].shape)):
            return f"{words} in part, or changed" if words == wanted.what else words
    return f"another network (its first keys: {', '.join(list(weights)[:3])})"
