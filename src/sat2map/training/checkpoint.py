"""Owns the checkpoint: all that a run needs to go on as if never stopped, in one file, without pickles.

Random states are not in it: each step draws from a seed of its own (`runtime.step_seed`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sat2map.errors import RunError
from sat2map.files import atomic_write_bytes
from sat2map.training.step import Networks

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: Steps done.
        best: Best validation score so far (higher is better), or None.
        best_step: Its step.
        window: Sums of the losses since the last line of metrics, and how many steps they sum.
        window_steps: How many steps that is.
        seconds: Time spent in training, over all sittings.
        fingerprint: Of the training pairs.
        val_fingerprint: Of the validation pairs.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0
    window: dict[str, float] = field(default_factory=dict)
    window_steps: int = 0
    seconds: float = 0.0
    fingerprint: str = ""
    val_fingerprint: str = ""


def save_checkpoint(run: Path, networks: Networks, progress: Progress) -> None:
    """Write the checkpoint of a run atomically.

    Raises:
        OutputError: It cannot be written; the one before it stays.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _tensors(networks)}
    atomic_write_bytes(run / CHECKPOINT, save(tensors, {"progress": json.dumps(asdict(progress))}))


def load_checkpoint(run: Path, networks: Networks) -> Progress:
    """Put the checkpoint of a run into the networks and their optimizers.

    Raises:
        RunError: There is none, or it is damaged or of other networks.
    """
    path = run / CHECKPOINT
    if not path.exists():
        raise RunError(
            f"{run} has no {CHECKPOINT}: it is not the folder of a run, name another with --resume"
        )
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads((file.metadata() or {})["progress"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        for name, mine in _tensors(networks):
            saved = tensors.pop(name)
            if saved.shape != mine.shape:  # copy_ would broadcast
                raise RuntimeError(f"{name} has another shape")
            mine.copy_(saved)
    except (SafetensorError, OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(f"{path} cannot be resumed ({error}): it is damaged or of another network") from None
    if tensors:
        raise RunError(f"{path} is of another network: it holds {next(iter(tensors))}, which this one lacks")
    return progress


def _tensors(networks: Networks) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor that a step changes, under a name that stays."""
    for name in ("generator", "discriminator", "average"):
        module = getattr(networks, name)
        if module is not None:
            for key, tensor in module.state_dict().items():
                yield f"{name}.{key}", tensor
    for name in ("generator_optimizer", "discriminator_optimizer"):
        optimizer: torch.optim.Optimizer = getattr(networks, name)
        for i, parameter in enumerate(optimizer.param_groups[0]["params"]):
            state: dict[str, Any] = optimizer.state[parameter]
            for key in sorted(state):
                yield f"{name}.{i}.{key}", state[key]
