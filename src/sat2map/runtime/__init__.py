"""The machine that the program runs on: device, precision, threads, seeds.

PyTorch is imported by the functions that need it: importing this costs nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from sat2map.errors import OutOfMemoryError, SettingsError
from sat2map.runtime.cpu import asked_threads, processor

if TYPE_CHECKING:
    import torch

    from sat2map.settings import Device, Precision, TrainPrecision

_set_threads = 0  # what `set_torch_threads` set last


def may_have_gpu() -> bool:
    """Say whether PyTorch is worth importing to look for a GPU: True wherever a driver is installed."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def pick_device(device: Device) -> torch.device:
    """Return the device asked for, or for `auto` the first of cuda, mps, cpu that is there.

    Raises:
        SettingsError: The device is not on this machine.
    """
    import torch

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
    import torch

    if precision == "bf16":
        return torch.bfloat16
    if (
        precision == "auto"
        and device.type == "cuda"
        and torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        return torch.bfloat16
    if precision == "auto" and device.type == "cpu" and _multiplies_bf16():
        return torch.bfloat16
    return torch.float32


def pick_training_precision(precision: TrainPrecision, device: torch.device) -> torch.dtype:
    """Return the arithmetic of training: as in inference, and for `auto` fp16 on GPUs without bf16.

    Raises:
        SettingsError: fp16 is asked for on a CPU, where it is slower than fp32 and no more exact than bf16.
    """
    import torch

    if precision == "fp16":
        if device.type == "cpu":
            raise SettingsError(
                "fp16 trains on GPUs, and this training runs on the CPU",
                hint="leave the precision at auto, or use bf16 or fp32",
                setting="precision",
            )
        return torch.float16
    dtype = pick_precision(precision, device)
    has_fp16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    return torch.float16 if precision == "auto" and dtype == torch.float32 and has_fp16 else dtype


def _multiplies_bf16() -> bool:
    import torch

    if processor().features:
        return processor().multiplies_bf16
    # Systems without /proc/cpuinfo. torch.cpu.get_capabilities() is not in torch 2.6.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def set_torch_threads(threads: int) -> None:
    """Set PyTorch's threads, in a way that `may_set_torch_threads` recognises later."""
    global _set_threads
    import torch

    torch.set_num_threads(threads)
    _set_threads = threads


def may_set_torch_threads() -> bool:
    """Whether the number of PyTorch's threads is free to choose: the user has set none, in any way."""
    import torch

    threads = torch.get_num_threads()
    return not asked_threads() and (threads == _set_threads or threads >= processor().threads)


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Run convolutions in `dtype`; losses and weights stay fp32, so no gradient scaler is needed for bf16."""
    import torch

    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


@contextlib.contextmanager
def explain_out_of_memory(hint: str) -> Iterator[None]:
    """Turn PyTorch's and Python's errors about memory into ours.

    The hint says what needs less memory.

    Raises:
        OutOfMemoryError: The device, or the machine, ran out of memory.
    """
    import torch

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
    import torch

    return torch.Generator().manual_seed(step_seed(seed, *which))
