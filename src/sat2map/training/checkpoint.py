"""The checkpoint: all that a run needs to continue as if never stopped, in one file, without pickles.

Random states are not in it: each step draws from a seed of its own (`runtime.step_seed`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sat2map.errors import RunError
from sat2map.files import atomic_write_bytes
from sat2map.models.checksum import checksum_of, checksum_of_file
from sat2map.training.networks import Networks

CHECKPOINT = "checkpoint.safetensors"
_RENAMED = {"window": "loss_sums", "window_steps": "loss_steps"}  # since sat2map 0.1


@dataclass
class TrainState:
    """How far a run is.

    Attributes:
        step: Steps done.
        best: Best validation score so far (higher is better), or None.
        best_step: Its step.
        stale: Validations since then.
        loss_sums: Sums of the losses since the last line of metrics.
        loss_steps: Over how many steps.
        seconds: Time spent, over all sittings.
        fingerprint: Of the training pairs.
        val_fingerprint: Of the validation pairs.
        scale: Of the losses in fp16, and steps since it changed.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    loss_sums: dict[str, float] = field(default_factory=dict)
    loss_steps: int = 0
    seconds: float = 0.0
    fingerprint: str = ""
    val_fingerprint: str = ""
    scale: tuple[float, int] | None = None


def save_checkpoint(run: Path, networks: Networks, state: TrainState) -> None:
    """Write the checkpoint of a run atomically.

    Raises:
        OutputError: It cannot be written; the one before it stays.
    """
    if networks.scaler:
        scaler = networks.scaler.state_dict()
        state.scale = (scaler["scale"], scaler["_growth_tracker"])
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in networks.tensors()}
    about = {"progress": json.dumps(asdict(state)), "checksum": checksum_of(save(tensors))}
    atomic_write_bytes(run / CHECKPOINT, save(tensors, about))


def load_checkpoint(run: Path, networks: Networks) -> TrainState:
    """Put the checkpoint of a run into the networks and their optimizers.

    Raises:
        RunError: There is none, or it is damaged or of other networks.
    """
    path = run / CHECKPOINT
    if not path.exists():
        raise RunError(
            f"{run} has no {CHECKPOINT}, so it is not the folder of a run",
            hint="name another",
            setting="resume",
        )
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            state = _parse_state(about["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        if "checksum" in about and about["checksum"] != checksum_of_file(path):
            raise ValueError("its checksum is wrong")
        for name, mine in networks.tensors():
            saved = tensors.pop(name)
            if saved.shape != mine.shape:  # copy_ would broadcast
                raise RuntimeError(f"{name} has another shape")
            mine.copy_(saved)
    except (SafetensorError, OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(f"{path} cannot be resumed ({error}): it is damaged or of another network") from None
    if tensors:
        raise RunError(f"{path} is of another network: it holds {next(iter(tensors))}, which this one lacks")
    if networks.scaler and state.scale:
        scale, growth = state.scale
        networks.scaler.load_state_dict(
            {**networks.scaler.state_dict(), "scale": scale, "_growth_tracker": growth}
        )
    return state


def _parse_state(text: str) -> TrainState:
    values: dict[str, Any] = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("its state is not a JSON object")
    values = {_RENAMED.get(name, name): value for name, value in values.items()}
    if values.get("scale"):
        values["scale"] = tuple(values["scale"])
    return TrainState(**values)
