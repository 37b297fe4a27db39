"""The PyTorch engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sat2map.errors import ModelFileError
from sat2map.images.pixels import tensor_from_unit, tensor_to_unit
from sat2map.inference.backends.options import DEFAULTS, EngineOptions
from sat2map.models.architectures.generators import build_generator
from sat2map.models.model_file import ModelHeader, is_exported, read_header, read_weights
from sat2map.runtime import (
    autocast,
    explain_out_of_memory,
    may_set_torch_threads,
    pick_device,
    pick_precision,
    set_torch_threads,
)
from sat2map.runtime.cpu import default_threads
from sat2map.settings import Precision

_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


class TorchEngine:
    """A generator in PyTorch, on any device (see `backends.Uint8Backend`); callers take turns."""

    streams = 1

    def __init__(
        self,
        generator: nn.Module,
        header: ModelHeader,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.header = header
        self.name = f"PyTorch on {device.type}, {_NAMES[dtype]}"
        self._generator = generator
        self._device = device
        self._dtype = dtype
        self._seen: set[tuple[int, ...]] = set()

    @classmethod
    def open(cls, model: Path, options: EngineOptions = DEFAULTS) -> TorchEngine:
        """Open a model file (see `sat2map.inference.backends.open_engine`).

        Precision `auto` is bf16 on a GPU that multiplies it, else fp16, and fp32 on a CPU, where this is the
        engine that the others are compared with. `threads` counts for all of PyTorch in this process.
        """
        if is_exported(model):
            raise ModelFileError(
                f"{model} is an exported model, which PyTorch cannot run",
                hint="leave the engine at auto",
                setting="engine",
            )
        header = read_header(model)
        if options.mode is not None:
            header = header.model_copy(update={"inference_mode": options.mode})
        with torch.device("meta"):  # the weights come from the file: drawing random ones would cost more
            generator = build_generator(header.generator)
        try:
            generator.load_state_dict(read_weights(model), assign=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip()
            raise ModelFileError(
                f"{model}: its weights do not fit the network of its header: {reason}"
            ) from None
        if options.threads:
            torch.set_num_threads(options.threads)
        where = pick_device(options.device)
        if not options.threads and where.type == "cpu" and may_set_torch_threads():
            set_torch_threads(default_threads())
        if where.type == "cuda":
            generator.to(memory_format=_layout(where))  # type: ignore[call-overload]
        dtype = _pick_dtype(options.precision, where)
        return cls(generator.requires_grad_(False).to(where), header, where, dtype)

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a batch (see `sat2map.inference.backends.Engine`)."""
        with self._ready(source.shape):
            result: NDArray[np.float32] = self._generator(self._send(source)).float().cpu().numpy()
            return result

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate a batch of images (see `backends.Uint8Backend`); only bytes are moved."""
        count, height, width, bands = pixels.shape
        with self._ready((count, bands, height, width)):
            source = self._send(pixels).permute(0, 3, 1, 2).contiguous(memory_format=_layout(self._device))
            output = self._generator(tensor_to_unit(source))[:, : self.header.generator.target_bands]
            result: NDArray[np.uint8] = tensor_from_unit(output).permute(0, 2, 3, 1).cpu().numpy()
            return result

    def _send(self, array: NDArray[Any]) -> Tensor:
        """Move an array to the device; from pinned memory the host need not wait for it."""
        tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)

    @contextlib.contextmanager
    def _ready(self, shape: tuple[int, ...]) -> Iterator[None]:
        """Put the generator into the header's mode, and PyTorch into that of inference, for one batch.

        Raises:
            OutOfMemoryError: The memory is too small for it.
        """
        # Set here and not once: a generator in training is switched to and fro by its owner.
        was_training = self._generator.training
        self._generator.train(self.header.inference_mode == "paper")
        # What comes again, such as tiles, is worth a search for the fastest kernels.
        searched, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, shape in self._seen
        self._seen.add(shape)
        count, _, height, width = shape
        images = "1 image" if count == 1 else f"{count} images"
        smaller = f"at most {count // 2} at a time" if count > 1 else "a smaller model, or the CPU"
        try:
            with (
                explain_out_of_memory(f"{images} of {width}×{height} px are too large: use {smaller}"),
                torch.inference_mode(),
                _frozen_statistics(self._generator),
                autocast(self._device, self._dtype),
            ):
                yield
        finally:
            torch.backends.cudnn.benchmark = searched
            self._generator.train(was_training)


def _layout(device: torch.device) -> torch.memory_format:
    """Return the layout that tensor cores read; on a CPU in fp32 it costs time instead."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def _pick_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    dtype = pick_precision(precision, device)
    # Before Ampere, tensor cores multiply fp16 only. It is wide enough for what training has normalised.
    halves = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    return torch.float16 if precision == "auto" and dtype == torch.float32 and halves else dtype


class _frozen_statistics:  # noqa: N801 - reads as a verb at the `with`
    """Keep BatchNorm in `paper` mode from moving its running statistics."""

    def __init__(self, network: nn.Module) -> None:
        self._norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]

    def __enter__(self) -> None:
        for norm in self._norms:
            norm.track_running_stats = False

    def __exit__(self, *_: object) -> None:
        for norm in self._norms:
            norm.track_running_stats = True
