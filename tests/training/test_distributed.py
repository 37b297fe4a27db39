"""Tests of training in several processes: they do what one does, and none waits for a dead one."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sat2map.data.augment import augment, jitter_colors
from sat2map.data.cache import open_pairs
from sat2map.data.pair_cache import PairFormat
from sat2map.data.pairs import find_pairs
from sat2map.errors import SettingsError
from sat2map.images.palette import Palette
from sat2map.run_folder import read_metrics
from sat2map.runtime import generator_for
from sat2map.settings import TrainSettings, load_settings
from sat2map.training.batches import Batches
from sat2map.training.checkpoint import CHECKPOINT
from sat2map.training.distributed import SINGLE_PROCESS, DistributedContext
from sat2map.training.loop import resume, train

Make = Callable[..., TrainSettings]

TRAIN = """
import os, sys, torch
from pathlib import Path
from sat2map.evaluation import report
from sat2map.errors import Sat2MapError
from sat2map.settings import TrainSettings
from sat2map.training import loop
torch.set_num_threads(1)
report.write_run_report = lambda run: run
try:
    for job, port in zip(sys.argv[1:], os.environ["PORTS"].split(","), strict=True):
        os.environ["MASTER_PORT"] = port
        if job.startswith("{"):
            loop.train(TrainSettings.model_validate_json(job))
        else:
            loop.resume(Path(job))
except Sat2MapError as error:
    sys.exit(f"sat2map: {error}")
"""


def free_port() -> int:
    """Return a port below those that the system gives to others until the processes take it."""
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as door, contextlib.suppress(OSError):
            door.bind(("127.0.0.1", port))
            return port


def start(count: int, *jobs: str, program: Sequence[str] = ("-c", TRAIN)) -> list[subprocess.Popen[str]]:
    """Start processes as torchrun does; what they say is read at their end."""
    ports = ",".join(str(free_port()) for _ in jobs)  # a port for each, or one meets the last of the other
    return [
        subprocess.Popen(
            [sys.executable, *program, *jobs],
            env={
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": ports.partition(",")[0],
                "PORTS": ports,
                "OMP_NUM_THREADS": "1",
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def together(count: int, *jobs: str, program: Sequence[str] = ("-c", TRAIN)) -> None:
    """Train in so many processes: settings as JSON, or run folders to go on with."""
    processes = start(count, *jobs, program=program)
    said = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * count, "\n".join(said)


def losses_of(run: Path) -> list[dict[str, Any]]:
    """The metrics without what the clock decides."""
    lines = [line for line in read_metrics(run) if line["kind"] == "train"]
    clock = ("images_per_second", "kind")
    return [{name: value for name, value in line.items() if name not in clock} for line in lines]


def assert_same_losses(run: Path, other: Path) -> None:
    mine, theirs = losses_of(run), losses_of(other)
    assert len(mine) == len(theirs) > 0
    for line, expected in zip(mine, theirs, strict=True):
        assert line == pytest.approx(expected, abs=1e-5, rel=1e-5)


def assert_same_weights(run: Path, other: Path) -> None:
    mine, theirs = load_file(run / CHECKPOINT), load_file(other / CHECKPOINT)
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        if "palette" in run.name and ".exp_avg" in name:
            # At 32 px the deepest norms see a pixel per image. The gradients of one and of two processes
            # then differ by 10 % in fp32 (median of the weights), and by less than 1e-6 in fp64: the test
            # of gradients compares those.
            continue
        # A bias before an instance norm does nothing: its gradient is rounding, which Adam makes steps of.
        if ".bias" not in name or "instance" not in run.name:
            assert torch.allclose(tensor, theirs[name], atol=1e-4, rtol=1e-3), name


SHORT: dict[str, Any] = {"epochs": 2, "learning_rate": 1e-4, "batch_size": 5}
RECIPES: dict[str, tuple[int, dict[str, Any]]] = {
    "group norm": (2, {"norm": "group", "ema": 0.9, "batch_size": 4}),
    # 5 rows: 2 and 3
    "batch norm": (2, {"norm": "batch", "cross_entropy_weight": 10.0, "iou_weight": 10.0, "dropout": 0.5}),
    "resumed": (2, {"norm": "batch", "dropout": 0.5, "epochs": 3}),
    "palette": (
        2,
        {
            "generator": "efficient-unet",
            "depth": None,
            "adversarial_weight": 0.5,
            "cross_entropy_weight": 1.0,
            "iou_weight": 1.0,
            "l1_weight": 1.0,
            "epochs": 1,
            "ema": 0.9,
            # At 32 px its deepest norms see a pixel per image, and magnify each last digit.
            "learning_rate": 1e-7,
        },
    ),
    # 1, 2 and 2
    "instance norm": (3, {"norm": "instance", "ema": 0.0, "adversarial": "hinge", "dropout": 0.5}),
}


@pytest.fixture(scope="module")
def runs(pairs: Path, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each recipe's run in one process (alone-NAME) and in several (shared-NAME)."""
    folder = tmp_path_factory.mktemp("runs")

    def recipe(name: str, kind: str) -> TrainSettings:
        values = {**tiny, **SHORT, **RECIPES[name][1]}
        return load_settings("rgb", data=pairs, run=folder / f"{kind}-{name}", **values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sat2map.evaluation.report.write_run_report", lambda run: run)
        for name in RECIPES:
            train(recipe(name, "alone"))
        asked: list[object] = []
        patch.setattr(DistributedContext, "any", lambda self, flag: asked.append(flag) or len(asked) == 3)
        assert not train(recipe("resumed", "shared")).finished  # stopped before its third step
    for count in (2, 3):
        names = [name for name, (processes, _) in RECIPES.items() if processes == count]
        together(
            count,
            *(recipe(name, "shared").model_dump_json() for name in names if name != "resumed"),
            *(str(folder / "shared-resumed") for name in names if name == "resumed"),
        )
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_several_processes_have_the_losses_and_weights_of_one(runs: Path, name: str) -> None:
    alone, shared = runs / f"alone-{name}", runs / f"shared-{name}"
    assert_same_losses(shared, alone)
    assert_same_weights(shared, alone)


def test_every_loss_of_a_palette_generator_has_the_gradients_of_one_process(tmp_path: Path) -> None:
    program = [str(Path(__file__).with_name("gradients_of_step.py"))]
    alone, shared = tmp_path / "alone.safetensors", tmp_path / "shared.safetensors"
    together(1, str(alone), program=program)
    together(2, str(shared), program=program)
    expected, found = load_file(alone), load_file(shared)
    assert found.keys() == expected.keys()
    for loss in ("cross_entropy", "iou", "l1", "adversarial"):
        assert float(expected[f"{loss}: generator.encoder.stem.0.weight"].norm()) > 1e-6
    for name, tensor in found.items():
        # Relative to the whole tensor: the losses are fp32. What must be zero is less than 1e-12.
        difference = float((tensor - expected[name]).norm())
        assert difference <= 1e-5 * float(expected[name].norm()) + 1e-12, name


def test_one_of_several_processes_writes_the_files_that_one_writes(runs: Path) -> None:
    alone, shared = runs / "alone-group norm", runs / "shared-group norm"
    names = [sorted(p.name for p in run.iterdir() if p.name != "tensorboard") for run in (alone, shared)]
    assert names[0] == names[1]
    kinds = [[line["kind"] for line in read_metrics(run)] for run in (alone, shared)]
    assert kinds[0] == kinds[1]


def wait_for_lines(run: Path, count: int) -> None:
    """Wait until a run has so many lines of metrics."""
    until = time.monotonic() + 240  # on a machine as busy as can be
    while len(read_metrics(run)) < count:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_dead_process_ends_the_job_and_another_number_of_processes_goes_on(
    settings: Make, tmp_path: Path
) -> None:
    values: dict[str, Any] = {
        "norm": "group", "ema": 0.9, "dropout": 0.5, "learning_rate": 1e-4, "batch_size": 4, "epochs": 30,
        "checkpoint_minutes": 1e-9, "validate_every": 30,
    }  # fmt: skip
    alone = settings(**values, run=tmp_path / "alone")
    train(alone)
    shared = settings(**values, run=tmp_path / "shared")
    processes = start(2, shared.model_dump_json())
    wait_for_lines(shared.output.run, 3)
    processes[1].kill()
    _, said = processes[0].communicate(timeout=300)  # no hang
    processes[1].communicate()
    assert processes[1].returncode == -signal.SIGKILL
    assert processes[0].returncode == 1
    assert "sat2map: another process of this training died or hangs" in said
    assert "resume the run" in said
    done = len(losses_of(shared.output.run))
    assert 0 < done < 60

    resume(shared.output.run)  # in this process, alone
    mine, theirs = losses_of(shared.output.run), losses_of(alone.output.run)
    assert [line["step"] for line in mine] == [line["step"] for line in theirs]
    # Chaos: a last digit grows tenfold in some twenty steps of two networks against each other.
    for line, expected in zip(mine[: done + 5], theirs, strict=False):
        assert line == pytest.approx(expected, abs=1e-2, rel=1e-2)


def test_torchrun_starts_the_command_and_stops_it(pairs: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    values = {
        **tiny,
        "data": pairs,
        "run": run,
        "norm": "group",
        "ema": 0.0,
        "batch_size": 4,
        "epochs": 10_000,
    }
    words = [
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "--",
        "sat2map",
        "train",
        "rgb",
    ]
    for name, value in values.items():
        values_of = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}", *map(str, values_of)]
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_lines(run, 3)
    process.send_signal(signal.SIGTERM)  # as a scheduler does: all stop after the step they are at
    _, said = process.communicate(timeout=300)
    assert f"sat2map train --resume {run}" in said
    assert "Warning" not in said
    progress = json.loads(_metadata(run / CHECKPOINT)["progress"])
    assert progress["step"] >= 2


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return dict(file.metadata())


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [5, 6, 64])
def test_every_row_of_a_batch_belongs_to_one_process(size: int, count: int) -> None:
    rows = [list(range(count))[DistributedContext(rank, size).rows(count)] for rank in range(size)]
    assert [row for part in rows for row in part] == list(range(count))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_a_batch_smaller_than_the_team_is_refused() -> None:
    with pytest.raises(SettingsError, match="a batch of 2 cannot be shared by 3 processes"):
        DistributedContext(0, 3).rows(2)


@pytest.mark.parametrize(
    "jitter",
    [{"color_jitter": 0.2}, {"scale_jitter": (0.6, 1.1), "photo_jitter": 1.0}],
    ids=["rgb", "palette"],
)
def test_the_processes_batches_are_one_batch(settings: Make, jitter: dict[str, Any]) -> None:
    wanted = settings(batch_size=5, augment="symmetries", **jitter)
    how = PairFormat(wanted.data.load_size, palette=Palette.load("maps"))
    cache = open_pairs(find_pairs(wanted.data.path)["train"], how)

    def cat(tensors: list[Any]) -> torch.Tensor:
        return torch.cat(tensors)

    def batches(context: DistributedContext = SINGLE_PROCESS) -> Batches:
        device = torch.device("cpu")
        return Batches(cache, how, wanted.data, batch_size=5, seed=0, device=device, context=context)

    for step in (0, 1, 7):
        whole = batches()(step)
        parts = [batches(DistributedContext(rank, 3))(step) for rank in range(3)]
        assert torch.equal(cat([part.source for part in parts]), whole.source)
        assert torch.equal(cat([part.target for part in parts]), cat([whole.target]))
        assert torch.equal(cat([part.labels for part in parts]), cat([whole.labels]))
        assert sum(part.share for part in parts) == pytest.approx(3)


def test_rows_are_turned_and_jittered_as_in_the_whole() -> None:
    pairs = torch.randint(256, (6, 12, 12, 6), dtype=torch.uint8)
    rows = slice(2, 5)
    part: dict[str, Any] = {"batch": 6, "rows": rows}
    whole = augment(pairs, 8, "symmetries", generator_for(1))
    assert torch.equal(augment(pairs[rows], 8, "symmetries", generator_for(1), **part), whole[rows])
    source = torch.rand(6, 3, 8, 8)
    jittered = jitter_colors(source, 0.2, generator_for(2))
    assert torch.equal(jitter_colors(source[rows], 0.2, generator_for(2), **part), jittered[rows])
