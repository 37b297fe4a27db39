"""Random weights in files of the published layout; the published ones are not ours to distribute."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sat2map.evaluation.perceptual.inception import FidInception
from sat2map.evaluation.perceptual.lpips import AlexNet, LpipsHeads


@pytest.fixture(scope="session")
def inception() -> FidInception:
    """An Inception of chance whose batch norms have seen some noise, so that its features say something."""
    torch.manual_seed(0)
    network = FidInception()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1
            nn.init.normal_(module.bias, 0, 0.2)
    with torch.no_grad():
        network.train()(torch.rand(4, 3, 75, 75).repeat_interleave(4, 2).repeat_interleave(4, 3))
    return network.eval()


@pytest.fixture(scope="session")
def alexnet() -> AlexNet:
    torch.manual_seed(1)
    return AlexNet().eval()


@pytest.fixture(scope="session")
def heads() -> LpipsHeads:
    """Heads of chance, none below 0, as the published ones are."""
    torch.manual_seed(2)
    drawn = LpipsHeads().eval()
    for weight in drawn.parameters():
        nn.init.uniform_(weight, 0, 0.1)
    return drawn


@pytest.fixture(scope="session")
def files(
    tmp_path_factory: pytest.TempPathFactory, inception: FidInception, alexnet: AlexNet, heads: LpipsHeads
) -> dict[str, Path]:
    """The three files; the layers that LPIPS leaves alone are one number, stretched, to save the disk."""
    folder = tmp_path_factory.mktemp("weights")
    paths = {name: folder / f"{name}.pth" for name in ("inception", "alexnet", "heads")}
    torch.save({k: _halved(w) for k, w in inception.state_dict().items()}, paths["inception"])
    small = {
        name: torch.zeros(1).expand(w.shape) if name.startswith("classifier") else w
        for name, w in alexnet.state_dict().items()
    }
    torch.save(small, paths["alexnet"])
    torch.save(heads.state_dict(), paths["heads"])
    return paths


def _halved(weight: Tensor) -> Tensor:
    return weight.half() if weight.is_floating_point() else weight
