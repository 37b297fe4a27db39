"""Tests of sat2map.models.architectures.efficient_unet.pretrained."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from sat2map.errors import MissingExtraError, ModelFileError
from sat2map.models.architectures.efficient_unet import pretrained
from sat2map.models.architectures.efficient_unet.network import Encoder
from sat2map.models.architectures.efficient_unet.pretrained import read_encoder_weights

ROOT = Path(__file__).parents[3]
installed = pytest.mark.skipif(not pretrained.is_installed(), reason="the extra 'encoder' is not installed")


@installed
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_its_weights_are_those_of_the_encoder(bands: int) -> None:
    assert Encoder(bands).load_state_dict(read_encoder_weights(bands)) == ([], [])  # missing, unexpected


@installed
def test_a_stem_for_other_bands_sees_grey_as_the_first_one_does() -> None:
    three, four = (read_encoder_weights(bands)["stem.0.weight"] for bands in (3, 4))
    torch.testing.assert_close(three.sum(dim=1), four.sum(dim=1))


def test_another_file_in_the_package_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"a pickle that does harm")
    spec = ModuleSpec("x", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(pretrained, "find_spec", lambda name: spec)
    with pytest.raises(ModelFileError, match="does not hold the weights that are known as"):
        read_encoder_weights()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"needs the 'encoder' extra: .* install .*\[encoder\]"):
        read_encoder_weights()


def test_the_notice_of_the_package_names_licence_and_authors() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    for text in ("Apache License", "ML Illustrated", "tensorflow/tpu"):
        assert text in notice
        assert text in pretrained.LICENSE
