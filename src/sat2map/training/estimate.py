"""What a training will take: a dry run of two steps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from sat2map.models.architectures.generators import count_parameters
from sat2map.run_folder import refuse_used_folder
from sat2map.runtime import explain_out_of_memory
from sat2map.settings import TrainSettings
from sat2map.training.init import read_init
from sat2map.training.open_data import Report
from sat2map.training.setup import set_up, smaller_step_hint
from sat2map.training.threads import adapted_threads


@dataclass(frozen=True)
class Estimate:
    """What a dry run finds out, without writing into the run folder.

    Attributes:
        pairs: Training and validation pairs.
        parameters: Of generator and discriminator.
        steps: In the whole run.
        step_seconds: Measured on the second of two batches.
        memory_bytes: Weights, gradients, Adam's moments and the average; on a GPU the peak measured.
        on_gpu: Whether the steps were made on one.
        notes: What the user should know before the work.
    """

    pairs: tuple[int, int]
    parameters: tuple[int, int]
    steps: int
    step_seconds: float
    memory_bytes: int
    on_gpu: bool = False
    notes: tuple[str, ...] = ()


def dry_run(
    settings: TrainSettings, *, init_from: Path | None = None, report: Report = lambda line: None
) -> Estimate:
    """Check all settings and data, make two steps, and estimate memory and time.

    Raises:
        Sat2MapError: Whatever would stop the training at its start.
    """
    refuse_used_folder(settings.output.run)
    setup = set_up(settings, read_init(init_from) if init_from else None, report=report)
    settings, step = setup.settings, setup.make_step()
    report("making two steps, of which the first is slower")
    with explain_out_of_memory(smaller_step_hint(settings)), adapted_threads(setup.device):
        for i in range(2):
            began = time.monotonic()
            losses = step(setup.batches(i), i)
            float(losses["g"])  # wait for the device
            seconds = time.monotonic() - began
            if i == 0 and seconds > 1:
                report(f"the first one took {seconds:.0f} s; the second tells the speed")
    generator, discriminator = (
        count_parameters(network) for network in (setup.networks.generator, setup.networks.discriminator)
    )
    copies = 4 * (generator + discriminator) + (generator if settings.optimizer.ema else 0)
    on_gpu = setup.device.type == "cuda"
    return Estimate(
        pairs=(len(setup.train), len(setup.val)),
        parameters=(generator, discriminator),
        steps=settings.schedule.epochs * setup.batches.per_epoch,
        step_seconds=seconds,
        memory_bytes=torch.cuda.max_memory_allocated() if on_gpu else 4 * copies,
        on_gpu=setup.device.type != "cpu",
        notes=tuple(setup.notes),
    )
