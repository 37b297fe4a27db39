"""Owns running a generator with PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sat2map.errors import ModelFileError, SettingsError
from sat2map.model_file import InferenceMode, ModelHeader, is_exported, read_header, read_weights
from sat2map.nets import build_generator
from sat2map.runtime import autocast, pick_device, pick_precision
from sat2map.settings import Device, Precision


class TorchEngine:
    """A generator in PyTorch, on any device (see `sat2map.engines.Engine`)."""

    def __init__(
        self,
        generator: nn.Module,
        header: ModelHeader,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.header = header
        self.name = f"PyTorch on {device.type}, {'fp32' if dtype == torch.float32 else 'bf16'}"
        self._generator = generator
        self._device = device
        self._dtype = dtype

    @classmethod
    def open(
        cls,
        model: Path,
        *,
        device: Device = "auto",
        mode: InferenceMode | None = None,
        precision: Precision = "auto",
        threads: int = 0,
    ) -> TorchEngine:
        """Open a model file (see `sat2map.engines.open_engine`).

        Precision `auto` is bf16 on a GPU that multiplies it, and fp32 on a CPU, where this is the engine that
        the others are compared with. `threads` counts for all of PyTorch in this process.
        """
        if is_exported(model):
            raise ModelFileError(
                f"{model} is an exported model, which PyTorch cannot run: leave --engine at auto"
            )
        header = read_header(model)
        if mode is not None:
            header = header.model_copy(update={"inference_mode": mode})
        with torch.device("meta"):  # the weights come from the file: drawing random ones would cost more
            generator = build_generator(header.generator)
        try:
            generator.load_state_dict(read_weights(model), assign=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip()
            raise ModelFileError(
                f"{model}: its weights do not fit the network of its header: {reason}"
            ) from None
        if threads:
            torch.set_num_threads(threads)
        where = pick_device(device)
        dtype = torch.float32
        if precision == "bf16" or where.type != "cpu":
            dtype = pick_precision(precision, where)
        if where.type == "cuda":  # the layout that tensor cores read; on a CPU in fp32 it costs time instead
            generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(generator.requires_grad_(False).to(where), header, where, dtype)

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a batch (see `sat2map.engines.Engine`)."""
        # Set here and not once: a generator in training is switched to and fro by its owner.
        was_training = self._generator.training
        self._generator.train(self.header.inference_mode == "paper")
        try:
            with (
                torch.inference_mode(),
                _frozen_statistics(self._generator),
                autocast(self._device, self._dtype),
            ):
                out = self._generator(torch.from_numpy(source).to(self._device))
            result: NDArray[np.float32] = out.float().cpu().numpy()
            return result
        except torch.OutOfMemoryError:
            count, _, height, width = source.shape
            less = f"at most {count // 2} at a time" if count > 1 else "a smaller model, or --device cpu"
            raise SettingsError(
                f"the GPU ran out of memory on {count} pictures of {width}×{height} px: use {less}"
            ) from None
        finally:
            self._generator.train(was_training)


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
