"""Tests of exact resume: a run that was killed ends as one that was not, bit for bit."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors import safe_open

from sat2map.run_folder import read_metrics
from sat2map.settings import TrainSettings, flatten, load_settings
from sat2map.training import epochs, loop
from sat2map.training.checkpoint import CHECKPOINT
from sat2map.training.loop import resume, train

Make = Callable[..., TrainSettings]

OFTEN = 1e-9  # minutes between checkpoints: one after every step
STEPS = 20


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def tensors_of(path: Path) -> dict[str, bytes]:
    """All tensors, bit by bit."""
    with safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118 - not a dict


def lines_of(run: Path) -> list[dict[str, Any]]:
    """The metrics without what the clock decides."""
    return [
        {key: value for key, value in line.items() if key != "images_per_second"}
        for line in read_metrics(run)
    ]


def assert_equal_runs(run: Path, straight: Path) -> None:
    assert lines_of(run) == lines_of(straight)
    for name in (CHECKPOINT, "best.safetensors", "last.safetensors"):
        mine, theirs = tensors_of(run / name), tensors_of(straight / name)
        assert mine.keys() == theirs.keys()
        assert [key for key in mine if mine[key] != theirs[key]] == [], name
    samples = [path.relative_to(straight) for path in sorted(straight.glob("samples/*"))]
    assert [path.relative_to(run) for path in sorted(run.glob("samples/*"))] == samples
    assert all((run / path).read_bytes() == (straight / path).read_bytes() for path in samples)


class Killed(BaseException):
    """Stands for SIGKILL inside the process: no handler of the package catches it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, where: str, when: int, doomed: Callable[[], object]) -> None:
    """Do what is `doomed`, and kill it before the `when`-th call of a function of the loop."""
    modules = [module for module in (loop, epochs) if hasattr(module, where)]
    original, calls = getattr(modules[0], where), []

    def fatal(*args: Any, **values: Any) -> Any:
        calls.append(1)
        if len(calls) == when:
            raise Killed
        return original(*args, **values)

    with monkeypatch.context() as patch:
        for module in modules:
            patch.setattr(module, where, fatal)
        with pytest.raises(Killed):
            doomed()


@pytest.fixture(scope="module")
def straight(
    pairs: Path, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Runs that nothing disturbed, each made once."""
    made: dict[str, Path] = {}

    def run(**values: Any) -> Path:
        key = repr(sorted(values.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("straight") / "run"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("sat2map.evaluation.report.write_run_report", lambda run: run)
                train(load_settings("rgb", data=pairs, run=made[key], **{**tiny, **values}), console=quiet())
        return made[key]

    return run


@pytest.mark.parametrize(
    ("where", "when"),
    [
        ("step_seed", 1),  # before the first step
        ("step_seed", 14),
        ("save_model", 1),  # between a validation's line and its model
        ("save_checkpoint", 2),  # between a model and its checkpoint
    ],
)
def test_a_run_killed_anywhere_ends_as_one_that_was_not(
    settings: Make, straight: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, where: str, when: int
) -> None:
    wanted = settings()
    kill_at(monkeypatch, where, when, lambda: train(wanted, console=quiet()))
    assert resume(wanted.output.run, console=quiet()).finished
    assert_equal_runs(wanted.output.run, straight())


@pytest.mark.parametrize(
    "values",
    [
        {"norm": "instance", "ema": 0.0, "schedule": "linear"},
        {"adversarial": "hinge", "cross_entropy_weight": 10.0, "iou_weight": 10.0},
        {"generator": "resnet9", "depth": None, "epochs": 2, "batch_size": 5},
        {
            "generator": "efficient-unet",
            "pretrained": "auto",
            "optimizer": "adamw",
            "photo_jitter": 1.0,
            "scale_jitter": (0.6, 1.1),
            "l1_weight": 1.0,
            "cross_entropy_weight": 1.0,
            "iou_weight": 1.0,
            "adversarial_weight": 0.1,
            "image_size": None,
            "load_size": None,
            "epochs": 1,
            "depth": None,
        },
    ],
)
def test_other_recipes_are_resumed_as_exactly(
    settings: Make, straight: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    wanted = settings(**values)
    kill_at(monkeypatch, "step_seed", 3, lambda: train(wanted, console=quiet()))
    resume(wanted.output.run, console=quiet())
    assert_equal_runs(wanted.output.run, straight(**values))


def test_a_run_killed_between_the_lines_keeps_the_losses_so_far(
    settings: Make, straight: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # One line in two steps, a checkpoint after each: the kill falls into the middle of a mean.
    values = {"batch_size": 1, "norm": "group", "ema": 0.0, "epochs": 2, "checkpoint_minutes": OFTEN}
    wanted = settings(**values)
    kill_at(monkeypatch, "step_seed", 4, lambda: train(wanted, console=quiet()))
    resume(wanted.output.run, console=quiet())
    assert_equal_runs(wanted.output.run, straight(**values))


def test_a_run_killed_at_every_step_ends_as_one_that_was_not(
    settings: Make, straight: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(checkpoint_minutes=OFTEN, epochs=1)
    kill_at(monkeypatch, "step_seed", 2, lambda: train(wanted, console=quiet()))
    for _ in range(2):
        kill_at(monkeypatch, "step_seed", 2, lambda: resume(wanted.output.run, console=quiet()))
    resume(wanted.output.run, console=quiet())
    assert_equal_runs(wanted.output.run, straight(checkpoint_minutes=OFTEN, epochs=1))


def test_the_learning_rate_goes_on_where_it_was(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"schedule": "linear", "warmup_steps": 0, "checkpoint_minutes": OFTEN}
    wanted = settings(**values)
    kill_at(monkeypatch, "step_seed", 16, lambda: train(wanted, console=quiet()))
    resume(wanted.output.run, console=quiet())
    rates = [line["learning_rate"] for line in read_metrics(wanted.output.run) if line["kind"] == "train"]
    # Constant for ten steps, then 1/10 less of the first rate a step; a line is told at its last step.
    assert rates == pytest.approx(
        [wanted.optimizer.learning_rate * min(1, 2 * (1 - i / STEPS)) for i in range(STEPS)]
    )


# From here on: real processes and real signals.


class Process:
    """`python -m sat2map train` in a process of its own, on as many threads as this one."""

    def __init__(self, words: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sat2map", "train", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        )

    def wait_for(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 600
        while not what():
            assert self._process.poll() is None, self._process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def send(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit code and what was said on standard error."""
        self._process.send_signal(number)
        _, told = self._process.communicate(timeout=600)
        return self._process.returncode, told


def words_for(settings: TrainSettings) -> list[str]:
    words = ["rgb"]
    for name, value in flatten(settings).items():
        flag = f"--{name.replace('_', '-')}"
        if value is not None and not isinstance(value, dict):
            words += [flag, *map(str, value if isinstance(value, tuple) else [value])]
    return words


def lines_at_least(run: Path, count: int) -> Callable[[], bool]:
    return lambda: len(read_metrics(run)) >= count


def test_a_process_that_was_killed_and_then_interrupted_ends_as_one_that_was_not(
    settings: Make, straight: Callable[..., Path]
) -> None:
    values: dict[str, Any] = {"epochs": 40, "validate_every": 20, "checkpoint_minutes": OFTEN}
    killed = settings(**values)

    process = Process(words_for(killed))
    process.wait_for(lines_at_least(killed.output.run, 20))
    assert process.send(signal.SIGKILL)[0] == -signal.SIGKILL
    reached = len(read_metrics(killed.output.run))

    process = Process(["--resume", str(killed.output.run)])
    process.wait_for(lines_at_least(killed.output.run, reached + 40))
    code, told = process.send(signal.SIGINT)
    assert code == 130
    assert f"sat2map train --resume {killed.output.run}" in told
    assert "Traceback" not in told
    assert len(read_metrics(killed.output.run)) < 202, "it was stopped before its end"

    assert resume(killed.output.run, console=quiet()).finished
    assert_equal_runs(killed.output.run, straight(**values))
