"""The processes that train together: who they are, and what they agree on.

`torchrun` starts them and sets RANK, WORLD_SIZE and LOCAL_RANK; without it there is one process, and
everything here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sat2map.errors import SettingsError, TrainingError
from sat2map.settings import Device

STEP_TIMEOUT = timedelta(minutes=10)  # a process that says nothing for so long in a step hangs
WAIT_TIMEOUT = timedelta(days=1)  # while one works for all: validation, building the cache


@dataclass(frozen=True)
class DistributedContext:
    """The processes of a training.

    Attributes:
        rank: This one's number, from 0.
        size: How many there are.
        local_rank: Its number on this machine.
        long_timeout_group: The group that waits long; None for a single process.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    long_timeout_group: Any = None

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes the files, validates, and talks to the user."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """Return this process's part of a batch of `count`: parts are equal to within one, and none is empty.

        Raises:
            SettingsError: There are fewer than processes.
        """
        if count < self.size:
            raise SettingsError(
                f"a batch of {count} cannot be shared by {self.size} processes",
                hint=f"raise it to {self.size} or more, or start fewer",
                setting="batch_size",
            )
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def any(self, flag: object) -> bool:
        """Whether the flag is set in any process; all get the same answer."""
        return bool(self.max(float(bool(flag))))

    def max(self, value: float) -> float:
        """Return the largest of the processes' values; all get the same answer."""
        if self.size == 1:
            return value
        values = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return float(values)

    def mean(self, values: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
        """Return each scalar's mean over the whole batch; all get the same numbers.

        Args:
            values: Means over this process's rows, on its device.
            share: This process's rows, relative to a `size`-th of the batch.
        """
        values = {name: value.detach() for name, value in values.items()}
        if self.size == 1:
            return values
        together = torch.stack([value.float() for value in values.values()]) * (share / self.size)
        dist.all_reduce(together)
        return dict(zip(values, together, strict=True))

    def wait(self) -> None:
        """Wait until all are here, however long one of them works."""
        if self.size > 1:
            dist.barrier(self.long_timeout_group)

    @contextmanager
    def first_on_machine(self) -> Iterator[None]:
        """Let one process of each machine do something before the others: they find it done."""
        if self.local_rank:
            self.wait()
        yield
        if not self.local_rank:
            self.wait()


SINGLE_PROCESS = DistributedContext()


@contextmanager
def init_distributed(device: Device) -> Iterator[DistributedContext]:
    """Yield the processes that `torchrun` has started, or a single one.

    Raises:
        TrainingError: Another process died or hangs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE_PROCESS
        return
    local_rank = int(os.environ["LOCAL_RANK"])
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        if local_rank >= torch.cuda.device_count():
            raise SettingsError(
                f"process {local_rank} of this machine has no GPU among its {torch.cuda.device_count()}",
                hint="start as many processes as there are GPUs",
            )
        torch.cuda.set_device(local_rank)
        backend = "cpu:gloo,cuda:nccl"
    else:
        backend = "gloo"
    try:
        dist.init_process_group(backend, timeout=STEP_TIMEOUT)
        long_timeout_group = dist.new_group(backend="gloo", timeout=WAIT_TIMEOUT)
        yield DistributedContext(dist.get_rank(), dist.get_world_size(), local_rank, long_timeout_group)
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise
        raise TrainingError(
            "another process of this training died or hangs: its last message is above",
            hint="resume the run with the same number of processes",
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def is_main_process_here() -> bool:
    """Whether this is the process that talks to the user, also before and after training."""
    return int(os.environ.get("RANK", "0")) == 0


def restarted() -> bool:
    """Whether torchrun starts this process again, with the same arguments, after one of them died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def _is_lost_connection(error: RuntimeError) -> bool:
    """Whether an error is that of a connection to another process: gloo's have no type of their own."""
    if isinstance(error, dist.DistError):
        return True
    signs = ("gloo", "Connection closed by peer", "Connection reset", "Timed out", "timed out")
    return any(sign in str(error) for sign in signs)
