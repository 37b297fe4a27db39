"""A new generator is one record: training, engines, export, fine-tuning and model card work with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sat2map.errors import SettingsError
from sat2map.export import export_model
from sat2map.inference.translator import Translator
from sat2map.models.architectures.record import Architecture, OutputLayer
from sat2map.models.architectures.registry import ARCHITECTURES, find_architecture
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.describe import describe
from sat2map.models.hub.card import model_card
from sat2map.models.model import Model
from sat2map.models.model_file import read_weights
from sat2map.models.onnx.graph import GraphBuilder, Tail
from sat2map.settings import load_settings
from sat2map.synthetic.towns import draw_town, write_towns
from sat2map.training.loop import train

# the toy, all of it


class Toy(nn.Module):
    """Two convolutions at full resolution."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.first = nn.Conv2d(spec.source_bands, spec.width, 3, padding=1)
        self.last = nn.Conv2d(spec.width, spec.target_bands + spec.classes, 3, padding=1)
        self.bands = spec.target_bands

    def forward(self, source: Tensor) -> Tensor:
        outputs = self.last(self.first(source).relu())
        return torch.cat([outputs[:, : self.bands].tanh(), outputs[:, self.bands :]], dim=1)


def build_toy(graph: GraphBuilder, source: str) -> Tail:
    spec = graph.spec
    first = graph.weights.convolution("first", spec.source_bands, spec.width, 3, padding=1)
    last = graph.weights.convolution("last", spec.width, spec.target_bands + spec.classes, 3, padding=1)
    return Tail(graph.layer(source, first, finish=graph.relu), last, graph.tanh)


TOY = Architecture(
    name="toy",
    label="Toy of two layers",
    size_divisor=lambda spec: 1,
    build=Toy,
    build_onnx=build_toy,
    input_layer="first",
    output_layer=lambda spec: OutputLayer("last"),
    options=("width",),
)

# what it is used for


@pytest.fixture(autouse=True)
def _toy_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "toy", TOY)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_towns(folder, count=6, size=36, val_fraction=0.34, gsd=2.1)
    return folder


def trained(pairs: Path, run: Path, init_from: Path | None = None, **values: Any) -> Path:
    settings = load_settings(
        "rgb",
        data=pairs,
        run=run,
        generator="toy",
        image_size=32,
        load_size=36,
        crop_size=32,
        width=5,
        discriminator_width=4,
        discriminator_layers=2,
        batch_size=2,
        epochs=1,
        device="cpu",
        precision="fp32",
        **values,
    )
    train(settings, init_from=init_from)
    return run / "best.safetensors"


@pytest.fixture(scope="module")
def model(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "toy", TOY)
        patch.setattr("sat2map.evaluation.report.write_run_report", lambda run: run / "report.html")
        return trained(pairs, tmp_path_factory.mktemp("runs") / "toy")


def test_it_trains_and_its_model_file_names_it(model: Path) -> None:
    assert Model.find(model).header.generator.architecture == "toy"
    assert "Toy of two layers (toy), width 5" in describe(model, Model.find(model).header)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_every_engine_draws_what_pytorch_draws(model: Path, engine: Any) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    source = draw_town(3, size=48, gsd=2.1).source[:33, :41]
    expected = Translator.open(model, engine="torch", device="cpu", precision="fp32")(source)
    found = Translator.open(model, engine=engine, precision="fp32")(source)
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("to", ["onnx", "openvino", "pt2", "pth"])
def test_every_export_passes_its_parity_check(model: Path, to: Any, tmp_path: Path) -> None:
    if to == "openvino":
        pytest.importorskip("openvino")
    result = export_model(model, to, tmp_path / f"m.{'xml' if to == 'openvino' else to}")
    assert result.output.exists()
    assert len(result.checks) == {"pth": 0, "openvino": 2}.get(to, 1)


def test_fine_tuning_fits_its_first_and_last_layer_to_other_bands(
    model: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sat2map.evaluation.report.write_run_report", lambda run: run / "report.html")
    for path in pairs.rglob("*.png"):
        (tmp_path / "grey" / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("L").save(tmp_path / "grey" / path.parent.name / path.name)
    tuned = trained(
        tmp_path / "grey",
        tmp_path / "run",
        model,
        source_bands=1,
        target_bands=1,
        palette="none",
        learning_rate=1e-30,
    )
    before, after = read_weights(model), read_weights(tuned)
    torch.testing.assert_close(after["first.weight"], before["first.weight"].sum(dim=1, keepdim=True))
    torch.testing.assert_close(after["last.weight"][:1], before["last.weight"][:3].mean(dim=0, keepdim=True))


def test_its_model_card_names_it(model: Path) -> None:
    card = model_card(Model.find(model).header, "me/toy")
    assert "A pix2pix generator (Toy of two layers)" in card
    assert "Toy of two layers (toy), width 5" in card


def test_an_architecture_that_is_not_there_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no architecture is called 'toi': did you mean 'toy'") as caught:
        find_architecture("toi")
    assert caught.value.setting == "generator"
