"""PyTorch's exported programs, which run without this package."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx.experimental import _config

from sat2map.export.check import Converted
from sat2map.files import atomic_write_bytes
from sat2map.images.pixels import tensor_from_unit, tensor_to_unit
from sat2map.inference.backends.graphs import run_on_pixels
from sat2map.models.architectures.generators import build_generator
from sat2map.models.model_file import ModelHeader, read_weights


def to_pt2(model: Path, header: ModelHeader) -> Converted:
    """Return a model as a `torch.export` program.

    `torch.export.load(..., extra_files={"sat2map": ""})` reads the texts that are written with it.
    """
    with torch.device("meta"):
        generator = build_generator(header.generator)
    generator.load_state_dict(read_weights(model), assign=True)
    network = _OnPixels(generator.requires_grad_(False).eval(), header)
    multiple = header.generator.size_divisor
    # Larger than one block a side, or a size of one would be baked in.
    height, width = max(2, 32 // multiple) * multiple, max(3, 48 // multiple) * multiple
    example = torch.zeros(2, height, width, header.generator.source_bands, dtype=torch.uint8)
    dim = torch.export.Dim
    if multiple > 1:
        rows, columns = multiple * dim("rows"), multiple * dim("columns")
    else:  # a side of 1 px would be another program
        rows, columns = dim("rows", min=2), dim("columns", min=2)
    free = {0: dim("batch"), 1: rows, 2: columns}
    # Else it would refuse a bottleneck of one pixel, on the ground that the example has more.
    with _config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        program = torch.export.export(network, (example,), dynamic_shapes=(free,))

    def write(output: Path, texts: dict[str, str]) -> None:
        content = io.BytesIO()
        torch.export.save(program, content, extra_files=texts)
        atomic_write_bytes(output, content.getvalue())

    return Converted([(lambda: _ProgramEngine(program, header), "fp32")], write)


class _OnPixels(nn.Module):
    """A generator from uint8 (n, h, w, bands) to the same, and the logits where it has some."""

    def __init__(self, generator: nn.Module, header: ModelHeader) -> None:
        super().__init__()
        self.generator = generator
        self.target_bands = header.generator.target_bands
        self.draws_colours = header.generator.colours > 0
        classes = header.palette.classes if header.palette else ()
        colours = [colour for it in classes for colour in it.colours]
        self.table: Tensor
        self.register_buffer("table", torch.tensor(colours, dtype=torch.uint8))

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        # Contiguous, or the program would ask at every layer how its input lies in memory, and bake that in.
        output = self.generator(tensor_to_unit(source.permute(0, 3, 1, 2).contiguous()))
        if self.draws_colours:
            fake, logits = self.table[output.argmax(dim=1)], output  # the likeliest colours
        else:
            fake = tensor_from_unit(output[:, : self.target_bands]).permute(0, 2, 3, 1)
            logits = output[:, self.target_bands :]
        # A program drops checks of sizes that its own constraints make sure of, and does not check the
        # constraints. This addition fails where the network has cropped its input.
        fake = fake + 0 * source[..., :1]
        return (fake, logits) if logits.shape[1] else (fake,)


class _ProgramEngine:
    """An exported program as an engine, for the check."""

    def __init__(self, program: torch.export.ExportedProgram, header: ModelHeader) -> None:
        self.header = header
        self.name = "the exported program in PyTorch on cpu, fp32"
        self.streams = 1
        self._network = program.module()

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        return run_on_pixels(self._run, source, self.header)

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate a batch of images (see `sat2map.inference.backends.Uint8Backend`)."""
        return self._run(pixels)[0].astype(np.uint8, copy=False)

    def _run(self, source: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        with torch.inference_mode():
            return [output.numpy() for output in self._network(torch.from_numpy(source))]
