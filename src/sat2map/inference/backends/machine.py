"""Owns what this machine has to run a network on, told without PyTorch: its cores, perhaps a GPU."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

# More threads than this wait for each other longer than they compute, on pictures of 256 to 1024 px.
MAX_THREADS = 32


def default_threads() -> int:
    """Return how many threads run a network best: one a physical core that this process may use."""
    return max(1, min(_physical_cores(_allowed_cores()), _cgroup_cores(), MAX_THREADS))


def may_have_gpu() -> bool:
    """Say whether PyTorch is worth importing to look for a GPU: True wherever a driver is installed."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _allowed_cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _physical_cores(allowed: set[int], system: Path = Path("/sys/devices/system/cpu")) -> int:
    """Count cores, of two hyperthreads one: they share the units that multiply matrices."""
    try:
        cores = {(system / f"cpu{i}/topology/thread_siblings_list").read_text() for i in allowed}
    except OSError:
        return len(allowed)
    return len(cores)


def _cgroup_cores(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return how many whole cores a container's quota is worth; without one, as many as one likes."""
    try:
        quota, period = limit.read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return MAX_THREADS
