"""Tests of sat2map.training.loggers; MLflow and Weights & Biases are fakes of the calls that we make."""

from __future__ import annotations

import importlib.machinery
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sat2map.run_folder import read_metrics, start_run
from sat2map.settings import TrainSettings, load_settings
from sat2map.training.loggers import Loggers, open_loggers
from sat2map.training.loop import train
from sat2map.training.run_writer import RunWriter

GRID = np.zeros((4, 4, 3), np.uint8)


class Told:
    """A logger that remembers what it was told, and fails when it should."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.failing = failing

    def _take(self, name: str, *values: Any) -> None:
        if name == self.failing:
            raise RuntimeError("no route to host\nand a long story")
        self.calls.append((name, *values))

    def log(self, *values: Any) -> None:
        self._take("log", *values)

    def show(self, *values: Any) -> None:
        self._take("show", *values)

    def close(self) -> None:
        self._take("close")


class Tracking:
    """What a fake MLflow server keeps."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.metrics: list[tuple[str, float, int]] = []
        self.images: list[str] = []
        self.runs: list[str] = []
        self.ended: list[str] = []

    def get_experiment_by_name(self, name: str) -> Any:
        return None

    def create_experiment(self, name: str) -> str:
        return f"id of {name}"

    def create_run(self, experiment_id: str, run_name: str) -> Any:
        self.runs.append(f"{experiment_id}/{run_name}")
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def log_param(self, run_id: str, key: str, value: Any) -> None:
        self.params[key] = value

    def log_metric(self, run_id: str, key: str, value: float, step: int) -> None:
        assert run_id == "r1"
        self.metrics.append((key, value, step))

    def log_image(self, run_id: str, image: Any, artifact_file: str) -> None:
        self.images.append(artifact_file)

    def set_terminated(self, run_id: str) -> None:
        self.ended.append(run_id)


class Bias:
    """What a fake Weights & Biases keeps."""

    def __init__(self) -> None:
        self.inits: list[dict[str, Any]] = []
        self.logged: list[tuple[dict[str, Any], int]] = []
        self.finished = 0
        self.id = "w1"

    def init(self, **values: Any) -> Bias:
        self.inits.append(values)
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((values, step))

    def finish(self) -> None:
        self.finished += 1


def pretend(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """Install a module that is not there."""
    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    start_run(load_settings("default", run=tmp_path / "run", seed=5))
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sat2map.training.tensorboard", None)
    for name in ("MLFLOW_TRACKING_URI", "WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "1")


# a logger that fails


@pytest.mark.parametrize("failing", ["log", "show", "close"])
def test_a_logger_that_fails_is_told_once_and_asked_no_more(
    failing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = Told(failing), Told()
    loggers = Loggers({"bad": lambda: bad, "good": lambda: good})
    for _ in range(2):
        loggers.log("train", 1, {"l1": 2.0})
        loggers.show(1, GRID)
    loggers.close()
    assert [call[0] for call in good.calls] == ["log", "show", "log", "show", "close"]
    told = "sat2map: bad failed (no route to host) and is skipped from now on; the training continues\n"
    assert capsys.readouterr().err == told


def test_a_logger_that_cannot_even_be_opened_is_told_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> Told:
        raise ImportError("libfoo is missing")

    loggers = Loggers({"bad": fail, "none": lambda: None, "good": Told})
    assert loggers.names == ["good"]
    assert "bad failed (libfoo is missing)" in capsys.readouterr().err


def test_a_training_goes_on_where_its_logger_fails(
    settings: Callable[..., TrainSettings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = Tracking()
    monkeypatch.setattr(broken, "log_metric", lambda *_, **__: 1 / 0)
    pretend(monkeypatch, "mlflow", MlflowClient=lambda: broken)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://nowhere")
    result = train(settings(epochs=1))
    assert result.finished
    assert len(read_metrics(result.run)) > 1
    assert capsys.readouterr().err.count("MLflow failed (division by zero)") == 1


# who is told


def test_nothing_leaves_this_machine_unasked(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError

    pretend(monkeypatch, "mlflow", MlflowClient=never)
    pretend(monkeypatch, "wandb", init=never, Image=never)
    assert open_loggers(run, first_step=0).names == []


def test_what_is_asked_for_and_not_installed_is_left_out(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "maps")
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert "Weights & Biases" not in open_loggers(run, first_step=0).names


def test_tensorboard_is_told_where_it_is_installed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.delitem(sys.modules, "sat2map.training.tensorboard")
    assert open_loggers(run, first_step=0).names == ["TensorBoard"]


def test_mlflow_gets_settings_metrics_and_samples(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Tracking()
    pretend(monkeypatch, "mlflow", MlflowClient=lambda: server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://here")
    journal = RunWriter(run)
    journal.log("train", 7, 1, {"l1": 0.5, "d": math.nan})
    journal.show_samples(7, GRID)
    journal.close()
    assert server.runs == ["id of sat2map/run"]
    assert server.params["seed"] == 5
    assert server.metrics == [("train/l1", 0.5, 7)]  # what is not finite is left out
    assert server.images == ["samples/step-0000007.png"]
    assert server.ended == ["r1"]


def test_weights_and_biases_gets_settings_metrics_and_samples(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Bias()
    pretend(monkeypatch, "wandb", init=server.init, Image=lambda grid: ("image", grid.shape))
    monkeypatch.setenv("WANDB_PROJECT", "maps")
    journal = RunWriter(run)
    journal.log("validation", 9, 2, {"psnr": 20.0})
    journal.show_samples(9, GRID)
    journal.close()
    assert (server.inits[0]["name"], server.inits[0]["config"]["seed"]) == ("run", 5)
    assert server.logged == [({"validation/psnr": 20.0}, 9), ({"samples": ("image", (4, 4, 3))}, 9)]
    assert server.finished == 1


def test_a_resumed_run_goes_on_in_the_same_place(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking, bias = Tracking(), Bias()
    pretend(monkeypatch, "mlflow", MlflowClient=lambda: tracking)
    pretend(monkeypatch, "wandb", init=bias.init, Image=None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://here")
    monkeypatch.setenv("WANDB_PROJECT", "maps")
    for first_step in (0, 5):
        open_loggers(run, first_step=first_step)
    assert len(tracking.runs) == 1
    assert [(init["id"], init["resume"]) for init in bias.inits] == [(None, None), ("w1", "allow")]
