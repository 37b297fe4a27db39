"""A program for one process, or several of torchrun: it writes the gradients of one step for each loss.

Usage: python gradients_of_step.py FILE. The networks are fp64: nothing but a wrong sum can tell one process
from several.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from sat2map.images.palette import Palette
from sat2map.models.architectures.spec import spec_of
from sat2map.settings import load_settings
from sat2map.training.distributed import init_distributed
from sat2map.training.networks import make_networks
from sat2map.training.palette_tensors import PaletteTensors
from sat2map.training.step import Batch, TrainStep

ROWS = 3  # of two processes, one gets one row and the other two
LOSSES = ("cross_entropy", "iou", "l1", "adversarial")
SIZE = 64


def main(file: Path) -> None:
    """Make a step for each loss, and write the gradients and the losses as FILE."""
    palette = Palette.load("maps")
    cpu = torch.device("cpu")
    frequencies = torch.arange(1.0, len(palette.classes) + 1)
    found: dict[str, torch.Tensor] = {}
    with init_distributed("cpu") as context:
        for name in LOSSES:
            weights = {f"{other}_weight": float(other == name) for other in LOSSES}
            settings = load_settings(
                "tiny", data="pairs", run="run", generator="efficient-unet", depth=None, pretrained="none",
                batch_size=ROWS, ema=0.0, class_balance=0.5, l1_balance=0.5,
                discriminator_width=4, discriminator_layers=2, norm="batch", **weights,
            )  # fmt: skip
            networks = make_networks(
                settings, spec_of(settings, classes=0, colours=len(palette.colours)), cpu
            )
            for network in (networks.generator, networks.discriminator):
                network.double()
            # Steps of no length: the discriminator that the generator meets is the same everywhere.
            networks.generator_optimizer = torch.optim.SGD(networks.generator.parameters(), lr=0.0)
            networks.discriminator_optimizer = torch.optim.SGD(networks.discriminator.parameters(), lr=0.0)
            tensors = PaletteTensors.of(palette, frequencies / frequencies.sum(), settings.loss, cpu)
            step = TrainStep(
                networks, settings.loss, settings.optimizer, device=cpu, palette=tensors, context=context
            )
            rows = context.rows(ROWS)
            share = (rows.stop - rows.start) * context.size / ROWS
            torch.manual_seed(0)
            source = torch.rand(ROWS, 3, SIZE, SIZE, dtype=torch.float64) * 2 - 1
            labels = torch.randint(len(palette.colours), (ROWS, SIZE, SIZE))
            labels[0, : SIZE // 2] = 255  # the processes have different numbers of ignored pixels
            losses = step(Batch(source[rows], None, labels[rows], share), 0)
            found |= {f"{name}: loss {kind}": value.double() for kind, value in losses.items()}
            for part, network in (
                ("generator", networks.generator),
                ("discriminator", networks.discriminator),
            ):
                for key, parameter in network.named_parameters():
                    if parameter.grad is not None:
                        found[f"{name}: {part}.{key}"] = parameter.grad.contiguous()
                for key, value in network.named_buffers():
                    found[f"{name}: {part}.{key}"] = value.double()
        if context.is_main_process:
            save_file(found, file)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
