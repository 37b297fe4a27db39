"""A toy engine: its record is all that the rest of the package must know of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sat2map.errors import MissingExtraError, SettingsError
from sat2map.inference import Translator
from sat2map.inference.backends import EngineOptions, open_engine
from sat2map.inference.backends.record import MODEL_FILE, BackendRecord
from sat2map.inference.backends.registry import BACKENDS, candidates
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.header import ModelHeader
from sat2map.models.model_file import read_header, save_model


class ToyEngine:
    """Gives the source back, or its negative."""

    streams = 1

    def __init__(self, header: ModelHeader, sign: int) -> None:
        self.header, self.sign, self.name = header, sign, "toy"

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.sign * source


def open_toy(model: Path, options: EngineOptions) -> ToyEngine:
    return ToyEngine(read_header(model), 1)


TOY = BackendRecord("toy", "Toy", open_toy, module="numpy")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    spec = GeneratorSpec(width=4, depth=3)
    save_model(tmp_path / "m.safetensors", build_generator(spec).state_dict(), ModelHeader(generator=spec))
    return tmp_path / "m.safetensors"


def test_an_engine_translates_as_soon_as_its_record_is_there(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "toy", TOY)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Translator.open(model, engine="toy")(pixels), pixels)


def test_the_command_line_offers_the_engines_that_there_are() -> None:
    from sat2map.cli.flags import EngineChoice

    assert get_args(EngineChoice) == ("auto", *sorted(BACKENDS))


def test_auto_takes_the_first_in_order(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "toy", replace(TOY, order=1))
    assert open_engine(model, device="cpu").name == "toy"


def test_auto_does_not_take_an_engine_that_must_be_verified_and_draws_something_else(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "toy", replace(TOY, order=1, is_verified=True))
    assert open_engine(model, device="cpu").name != "toy"


def test_an_engine_is_asked_for_only_what_it_runs(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "toy", replace(TOY, order=1))
    assert candidates(MODEL_FILE, "cpu", "eval")[0].name == "toy"
    assert [record.name for record in candidates(MODEL_FILE, "cpu", "paper")] == ["torch"]
    assert [record.name for record in candidates(MODEL_FILE, "cuda", "eval")] == ["torch"]
    assert [record.name for record in candidates(".onnx", "cpu", "eval")] == ["onnx"]
    assert [record.name for record in candidates(".xml", "cpu", "eval")] == ["openvino"]


def test_a_device_that_an_engine_lacks_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "toy", TOY)
    with pytest.raises(SettingsError, match="the Toy engine runs on the CPU"):
        open_engine(model, engine="toy", device="cuda")


def test_an_engine_that_is_not_installed_is_passed_over_and_refused_by_name(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = replace(TOY, order=1, module="no_such_runtime", extra="openvino")
    monkeypatch.setitem(BACKENDS, "toy", absent)
    assert open_engine(model, device="cpu").name != "toy"
    with pytest.raises(MissingExtraError, match="the Toy engine"):
        open_engine(model, engine="toy")
