"""Owns the machine: device, precision, seeds."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch

from sat2map.errors import OutOfMemoryError, SettingsError
from sat2map.settings import Device, Precision


def pick_device(device: Device) -> torch.device:
    """Return the device asked for, or for `auto` the first of cuda, mps, cpu that is there.

    Raises:
        SettingsError: The device is not on this machine.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, is_there in there.items() if is_there))
    if not there[device]:
        names = {"cuda": "CUDA GPU", "mps": "Apple GPU"}
        raise SettingsError(
            f"PyTorch sees no {names[device]} here",
            hint="leave the device at auto, or use cpu",
            setting="device",
        )
    return torch.device(device)


def pick_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the networks' arithmetic: for `auto` bf16 where the hardware multiplies it, else fp32."""
    if precision == "bf16":
        return torch.bfloat16
    if (
        precision == "auto"
        and device.type == "cuda"
        and torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        return torch.bfloat16
    if precision == "auto" and device.type == "cpu" and _cpu_multiplies_bf16():
        return torch.bfloat16
    return torch.float32


def _cpu_multiplies_bf16() -> bool:
    # AVX-512 alone would emulate it, slower than fp32. torch.cpu.get_capabilities() is not in torch 2.6.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Run convolutions in `dtype`; losses and weights stay fp32, so no gradient scaler is needed for bf16."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


@contextlib.contextmanager
def explain_out_of_memory(hint: str) -> Iterator[None]:
    """Turn PyTorch's and Python's errors about memory into ours.

    Args:
        hint: What needs less memory.

    Raises:
        OutOfMemoryError: The device, or the machine, ran out of memory.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise OutOfMemoryError("the device ran out of memory", hint=hint) from None
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):  # PyTorch has no class for memory of the CPU
            raise
        raise OutOfMemoryError("the machine ran out of memory", hint=hint) from None


def step_seed(seed: int, *which: int | str) -> int:
    """Return a 63-bit seed for one purpose at one step.

    Every random choice follows from the run's seed and the step's number, so a resumed run needs no generator
    state: it draws what the straight run would have drawn.
    """
    text = "/".join(str(part) for part in (seed, *which))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator_for(seed: int, *which: int | str) -> torch.Generator:
    """Return a CPU generator seeded by `step_seed`."""
    return torch.Generator().manual_seed(step_seed(seed, *which))
