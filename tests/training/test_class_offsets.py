"""Class offsets: fitted on training pairs, added to the last layer, kept in the model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.training.test_palette_training import SMALL, quiet

from sat2map.evaluation import ScoreSheet
from sat2map.images.palette import Palette
from sat2map.inference import Translator
from sat2map.inference.backends.torch.engine import TorchEngine
from sat2map.models.header import ModelHeader
from sat2map.models.model_file import read_header, read_weights
from sat2map.settings import load_settings
from sat2map.training.checkpoint import CHECKPOINT
from sat2map.training.class_offsets import add_class_offsets, calibrated
from sat2map.training.loop import train
from sat2map.training.setup import Setup, set_up


@pytest.fixture(scope="module")
def setup(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    run = tmp_path_factory.mktemp("offsets") / "run"
    torch.manual_seed(3)
    return set_up(load_settings("default", data=pairs, run=run, **SMALL))


def translator(setup: Setup, generator: torch.nn.Module, header: ModelHeader) -> Translator:
    return Translator(TorchEngine(generator, header, setup.device, setup.dtype))


def test_offsets_raise_the_logits_of_all_colours_of_their_class(setup: Setup) -> None:
    palette, generator = Palette.load("maps"), setup.networks.best_generator
    offsets = np.linspace(-1, 1, len(palette.classes), dtype=np.float32)
    source = np.ascontiguousarray(setup.val.sources[0])
    before = translator(setup, generator, setup.header).run(source)
    weights = generator.state_dict()
    generator.load_state_dict(add_class_offsets(weights, setup.header, offsets))
    after = translator(setup, generator, setup.header).run(source)
    generator.load_state_dict(weights)
    expected = np.repeat(offsets, [len(one.colours) for one in palette.classes])
    np.testing.assert_allclose((after - before).mean(axis=(1, 2)), expected, atol=1e-3)


def test_a_class_that_was_overrated_no_longer_hides_the_others(setup: Setup) -> None:
    palette = Palette.load("maps")

    def overlap(generator: torch.nn.Module, header: ModelHeader) -> float:
        sheet, draw = ScoreSheet(palette), translator(setup, generator, header)
        for i in range(len(setup.val)):
            sheet.add(draw(np.ascontiguousarray(setup.val.sources[i])), setup.val.targets[i], str(i))
        return sheet.scores()["mean_iou"]

    generator = setup.networks.best_generator
    weights = generator.state_dict()
    undecided = {name: t * 0.01 if name.startswith("head.0") else t for name, t in weights.items()}
    shares = np.bincount(palette.classify(setup.val.targets).ravel(), minlength=len(palette.classes))
    overrated = (np.arange(len(shares)) == shares.argmin()).astype(np.float32)
    generator.load_state_dict(add_class_offsets(undecided, setup.header, overrated))
    as_trained = overlap(generator, setup.header)
    fitted_on = Setup(**{**vars(setup), "train": setup.val})  # what it is scored on
    assert overlap(*calibrated(fitted_on, setup.header)) > as_trained
    generator.load_state_dict(weights)


def test_a_generator_that_draws_an_image_stays_as_it_is(pairs: Path, tmp_path: Path) -> None:
    plain: dict[str, Any] = {**SMALL, "crop_size": 64, "image_size": 64, "load_size": 64}
    setup = set_up(load_settings("rgb", data=pairs, run=tmp_path / "run", **plain))
    assert calibrated(setup, setup.header) == (setup.networks.best_generator, setup.header)


def test_a_run_keeps_the_offsets_and_the_temperature_in_its_files(pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes: dict[str, Any] = {**SMALL, "epochs": 1, "validate_every": 1, "ema": 0.0}
    train(load_settings("default", data=pairs, run=run, **changes), console=quiet())
    checkpoint = load_file(run / CHECKPOINT)
    kept = read_weights(run / "last.safetensors")
    moved = [name for name in kept if not torch.equal(kept[name], checkpoint[f"generator.{name}"])]
    assert moved == ["head.0.bias"]
    assert read_header(run / "last.safetensors").temperature != 1
