"""Tests of sat2map.export.pth: what goes back draws there what it drew here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import stand_ins as them  # type: ignore[import-not-found]
import torch
from torch import Tensor, nn

from sat2map.errors import ModelFileError, OutputError
from sat2map.export.formats import export_model
from sat2map.export.pth import export_cyclegan
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.importers import import_checkpoint
from sat2map.models.model_file import ModelHeader, save_model


def model_of_ours(path: Path, **values: Any) -> tuple[Path, nn.Module]:
    spec = GeneratorSpec(**{"width": 4, **values})
    network = them.well_used(build_generator(spec))
    save_model(path, network.state_dict(), ModelHeader(generator=spec))
    return path, network


def picture(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def refused(model: Path, why: str) -> None:
    output = model.with_suffix(".pth")
    with pytest.raises(ModelFileError, match=why) as caught:
        export_cyclegan(model, output)
    assert str(model) in str(caught.value)
    assert not output.exists()


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda: them.NestedUNet(8), "--netG unet_256 --ngf 2 --norm batch"),
        (lambda: them.NestedUNet(7, norm="instance"), "--netG unet_128 --ngf 2 --norm instance"),
        (
            lambda: them.FlatResNet(9, norm="batch", dropout=True),
            "--netG resnet_9blocks --ngf 4 --norm batch",
        ),
        (lambda: them.FlatResNet(6), "--netG resnet_6blocks --ngf 4 --norm instance"),
        (lambda: them.FlatResNet(6, norm="none"), "--netG resnet_6blocks --ngf 4 --norm none"),
    ],
)
def test_an_imported_generator_goes_back_bit_for_bit(make: Any, options: str, tmp_path: Path) -> None:
    theirs = them.well_used(make())
    torch.save(theirs.state_dict(), tmp_path / "net_G.pth")
    import_checkpoint(tmp_path / "net_G.pth", tmp_path / "m.safetensors")
    assert export_cyclegan(tmp_path / "m.safetensors", tmp_path / "back.pth").startswith(options)
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert back.keys() == theirs.state_dict().keys()
    assert all(torch.equal(back[name], w) for name, w in theirs.state_dict().items())


@pytest.mark.parametrize("classes", [0, 3])
def test_a_u_net_trained_here_draws_the_same_there(classes: int, tmp_path: Path) -> None:
    model, network = model_of_ours(tmp_path / "m.safetensors", depth=7, norm="instance", classes=classes)
    export_cyclegan(model, tmp_path / "net_G.pth")
    theirs = them.NestedUNet(7, width=4, norm="instance").eval()
    theirs.load_state_dict(torch.load(tmp_path / "net_G.pth", weights_only=True))
    source = picture(1, 3, 128, 256)
    with torch.no_grad():
        torch.testing.assert_close(theirs(source), network(source)[:, :3], atol=1e-5, rtol=0)


@pytest.mark.parametrize("dropout", [0, 0.5])
def test_a_resnet_trained_here_draws_the_same_there(dropout: float, tmp_path: Path) -> None:
    model, network = model_of_ours(
        tmp_path / "m.safetensors", architecture="resnet9", dropout=dropout, classes=2
    )
    told = export_cyclegan(model, tmp_path / "net_G.pth")
    assert told.endswith("--no_dropout") == (not dropout)
    theirs = them.FlatResNet(9, norm="batch", dropout=dropout > 0).eval()
    theirs.load_state_dict(torch.load(tmp_path / "net_G.pth", weights_only=True))
    source = picture(1, 3, 32, 64)
    with torch.no_grad():
        torch.testing.assert_close(theirs(source), network(source)[:, :3], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"depth": 7, "norm": "batch"}, r"down\.0\.conv has a bias, which its networks with batch norm lack"),
        ({"depth": 7, "norm": "group"}, "knows no group norm"),
        ({"depth": 7, "upsample": "resize"}, "knows no resize upsampling"),
        ({"depth": 3, "norm": "instance"}, "five down-samplings or more, this one 3"),
        ({"architecture": "tutorial", "depth": 7}, "no generator like tutorial"),
        ({"architecture": "global", "depth": 3, "blocks": 2}, "no generator like global"),
    ],
)
def test_what_that_project_has_no_network_for_is_refused(
    values: dict[str, Any], why: str, tmp_path: Path
) -> None:
    refused(model_of_ours(tmp_path / "m.safetensors", **values)[0], why)


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    model, _ = model_of_ours(tmp_path / "m.safetensors", architecture="resnet6")
    (tmp_path / "g.pth").write_text("mine")
    with pytest.raises(OutputError, match="exists: choose another name, or allow it to be replaced"):
        export_model(model, "pytorch-cyclegan", tmp_path / "g.pth")
