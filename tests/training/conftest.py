"""Synthetic pairs of 32 px, and settings that train on them in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sat2map.settings import TrainSettings, load_settings
from sat2map.synthetic.towns import write_towns

TINY: dict[str, Any] = {
    "image_size": 32,
    "load_size": 36,
    "crop_size": 32,
    "width": 4,
    "depth": 3,
    "discriminator_width": 4,
    "discriminator_layers": 2,
    "dropout": 0.5,  # its random state must be resumed too
    "color_jitter": 0.1,
    "l1_weight": 100,
    "cross_entropy_weight": 0,
    "iou_weight": 0,
    "adversarial_weight": 1,
    "learning_rate": 1e-3,
    "betas": (0.5, 0.999),
    "ema": 0.98,
    "batch_size": 2,
    "epochs": 4,
    "validate_every": 1,
    "device": "cpu",
    "precision": "fp32",
    "workers": 1,
}


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pairs to train on and three to validate on; tests leave them as they are."""
    folder = tmp_path_factory.mktemp("pairs")
    write_towns(folder, count=13, size=36, val_fraction=0.23, gsd=2.1)
    return folder


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Settings, beside those of the preset `rgb`, of a training that takes a second."""
    return dict(TINY)


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out: its curves cost more than the training. Fixtures of a module still write it."""
    monkeypatch.setattr("sat2map.evaluation.report.write_run_report", lambda run: run / "report.html")


@pytest.fixture
def settings(pairs: Path, tmp_path: Path) -> Callable[..., TrainSettings]:
    """Make settings of a tiny training on the pairs, into the folder `run`; values given win."""

    def make(**values: Any) -> TrainSettings:
        return load_settings("rgb", **{"data": pairs, "run": tmp_path / "run", **TINY, **values})

    return make
