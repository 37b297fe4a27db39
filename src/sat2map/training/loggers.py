"""Experiment trackers: TensorBoard, MLflow and Weights & Biases, through one small protocol.

The run folder is the record, and `metrics.jsonl` all that must be written. A tracker that fails is reported
once and then skipped; the training continues.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sat2map.files import atomic_write_text
from sat2map.run_folder import read_run_settings
from sat2map.settings import flatten

TENSORBOARD: Final = "tensorboard"
IDS: Final = "loggers.json"  # in the run folder: what a resumed run is called elsewhere
# Both send data off this machine, so being installed is not consent: each waits for a variable of its own.
MLFLOW_VARIABLE, WANDB_VARIABLE = "MLFLOW_TRACKING_URI", "WANDB_PROJECT"


class Logger(Protocol):
    """Protocol of an experiment tracker; its exceptions are caught."""

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Take the losses of `kind` "train", or the scores of "validation", after `step` steps."""
        ...

    def show(self, step: int, grid: NDArray[np.uint8]) -> None:
        """Take a sample grid, uint8 (h, w, 3)."""
        ...

    def close(self) -> None:
        """The training has ended, or was stopped."""
        ...


class Loggers:
    """Passes calls on to all trackers; one that fails is reported and dropped."""

    def __init__(self, opened: Mapping[str, Callable[[], Logger | None]]) -> None:
        self._loggers: dict[str, Logger] = {}
        for name, open_logger in opened.items():
            try:
                logger = open_logger()
            except Exception as error:
                _report_failure(name, error)
                continue
            if logger is not None:
                self._loggers[name] = logger

    @property
    def names(self) -> list[str]:
        """The trackers."""
        return list(self._loggers)

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Pass on (see `Logger.log`)."""
        self._each(lambda logger: logger.log(kind, step, values))

    def show(self, step: int, grid: NDArray[np.uint8]) -> None:
        """Pass on (see `Logger.show`)."""
        self._each(lambda logger: logger.show(step, grid))

    def close(self) -> None:
        """Close all."""
        self._each(lambda logger: logger.close())
        self._loggers.clear()

    def _each(self, do: Callable[[Logger], None]) -> None:
        for name, logger in list(self._loggers.items()):
            try:
                do(logger)
            except Exception as error:
                del self._loggers[name]
                _report_failure(name, error)


def open_loggers(run: Path, *, first_step: int) -> Loggers:
    """Open those that are installed and, where they send data away, asked for by their own variable."""
    return Loggers(
        {
            "TensorBoard": lambda: _open_tensorboard(run / TENSORBOARD, first_step),
            "MLflow": lambda: MLflow(run) if _wanted("mlflow", MLFLOW_VARIABLE) else None,
            "Weights & Biases": lambda: WeightsAndBiases(run) if _wanted("wandb", WANDB_VARIABLE) else None,
        }
    )


class MLflow:
    """A run of MLflow, in the experiment that `MLFLOW_EXPERIMENT_NAME` names."""

    def __init__(self, run: Path) -> None:
        # A server that is down is asked for half an hour otherwise, and the training would wait.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        import mlflow

        self._client: Any = mlflow.MlflowClient()
        self._id = _ids(run).get("mlflow") or self._create(run)

    def _create(self, run: Path) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "sat2map")
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(name)
        made: str = self._client.create_run(experiment_id, run_name=run.name).info.run_id
        _keep_id(run, "mlflow", made)
        for key, value in _settings(run).items():
            self._client.log_param(made, key, value)
        return made

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """See `Logger.log`; what is not finite is left out, as some of its stores refuse it."""
        for name, value in values.items():
            if math.isfinite(value):
                self._client.log_metric(self._id, f"{kind}/{name}", value, step=step)

    def show(self, step: int, grid: NDArray[np.uint8]) -> None:
        """See `Logger.show`."""
        self._client.log_image(self._id, grid, artifact_file=f"samples/step-{step:07d}.png")

    def close(self) -> None:
        """See `Logger.close`."""
        self._client.set_terminated(self._id)


class WeightsAndBiases:
    """A run of Weights & Biases, in the project that `WANDB_PROJECT` names."""

    def __init__(self, run: Path) -> None:
        import wandb

        self._image: Any = wandb.Image
        before = _ids(run).get("wandb")
        self._run: Any = wandb.init(
            name=run.name, dir=str(run), config=_settings(run), id=before, resume="allow" if before else None
        )
        _keep_id(run, "wandb", self._run.id)

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """See `Logger.log`."""
        self._run.log({f"{kind}/{name}": value for name, value in values.items()}, step=step)

    def show(self, step: int, grid: NDArray[np.uint8]) -> None:
        """See `Logger.show`."""
        self._run.log({"samples": self._image(grid)}, step=step)

    def close(self) -> None:
        """See `Logger.close`."""
        self._run.finish()


def _open_tensorboard(folder: Path, first_step: int) -> Logger | None:
    try:
        from sat2map.training.tensorboard import Board
    except ModuleNotFoundError:  # TensorBoard is not installed
        return None
    return Board(folder, first_step=first_step)


def _wanted(module: str, variable: str) -> bool:
    return bool(os.environ.get(variable)) and find_spec(module) is not None


def _settings(run: Path) -> dict[str, Any]:
    return {name: value for name, value in flatten(read_run_settings(run)).items() if value is not None}


def _ids(run: Path) -> dict[str, str]:
    path = run / IDS
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _keep_id(run: Path, logger: str, made: str) -> None:
    atomic_write_text(run / IDS, json.dumps({**_ids(run), logger: made}, indent=2) + "\n")


def _report_failure(name: str, error: Exception) -> None:
    reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
    print(
        f"sat2map: {name} failed ({reason}) and is skipped from now on; the training continues",
        file=sys.stderr,
    )
