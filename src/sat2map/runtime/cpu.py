"""The processor: features, usable cores, the load of other programs, and the threads that follow.

It imports only the standard library: the command line sets OpenMP's wait policy before PyTorch is loaded, and
engines ask for threads without PyTorch.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import platform
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

# More threads than this wait for each other longer than they compute, on images of 256 to 1024 px.
MAX_THREADS = 32
MIN_SAMPLE_SECONDS = 0.1  # of load: the kernel counts in ticks of 10 ms
MAX_SAMPLE_SECONDS = 10.0  # an older start of a sample says little about now
BUSY_CORES = 0.5  # from this load on, a thread that spins takes time from another program, or waits for it

_FEATURES = (
    *("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimd", "bf16", "i8mm"),  # ARM
)
_BF16 = {"avx512_bf16", "amx_bf16"}  # AVX-512 alone emulates the products, slower than fp32
_INT8 = {"avx_vnni", "avx512_vnni", "amx_int8", "i8mm"}
_WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@dataclass(frozen=True)
class Processor:
    """What this process may compute on.

    Attributes:
        name: The model's name.
        features: Those instruction sets that decide something here; empty where the system names none.
        cpus: Logical processors that affinity allows.
        cores: The same, of two hyperthreads one: they share the units that multiply.
        quota: Processors' worth of time that a container may use; infinite without a limit.
    """

    name: str
    features: frozenset[str]
    cpus: frozenset[int]
    cores: int
    quota: float = math.inf

    @property
    def described(self) -> str:
        """Name and features, in words."""
        return f"{self.name} ({', '.join(name for name in _FEATURES if name in self.features) or '?'})"

    @property
    def threads(self) -> int:
        """Threads that run a network best while nothing else runs."""
        return max(1, int(min(self.cores, self.quota, MAX_THREADS)))

    @property
    def multiplies_bf16(self) -> bool:
        """Whether it has bf16 products; where it has not, they are emulated, slower than fp32."""
        return not _BF16.isdisjoint(self.features)

    @property
    def multiplies_int8(self) -> bool:
        """Whether it has int8 products; where it has not, an int8 model gains little or nothing."""
        return not _INT8.isdisjoint(self.features)

    def threads_beside(self, busy: float) -> int:
        """Return the number of threads with which each has a processor of its own.

        Threads wait for the slowest of them after each layer: one that shares its processor holds up all.

        Args:
            busy: Processors that other programs keep busy.
        """
        return max(1, min(self.threads, math.floor(len(self.cpus) - busy + 0.5)))


def read_processor(root: Path = Path("/")) -> Processor:
    """Read what the system says of the processor and of this process's share of it."""
    fields = _read_fields(root / "proc/cpuinfo")
    flags = {*fields.get("flags", "").split(), *fields.get("Features", "").split()}  # x86, ARM
    name = fields.get("model name") or platform.processor() or platform.machine()
    cpus = _allowed_cpus()
    return Processor(name, frozenset(flags & {*_FEATURES}), cpus, _count_cores(cpus, root), _read_quota(root))


processor = functools.cache(read_processor)


def _read_fields(path: Path) -> dict[str, str]:
    """Return the fields of the first processor in /proc/cpuinfo."""
    try:
        first = path.read_text().strip().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _allowed_cpus() -> frozenset[int]:
    # PYTHON_CPU_COUNT and -X cpu_count, from Python 3.13 on.
    count = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(count)
    return frozenset(allowed[:count])


def _count_cores(cpus: frozenset[int], root: Path) -> int:
    system = root / "sys/devices/system/cpu"
    try:
        return len({(system / f"cpu{i}/topology/thread_siblings_list").read_text() for i in cpus})
    except OSError:
        return len(cpus)


def _read_quota(root: Path) -> float:
    """Return the smallest quota of this process's control groups (version 1 or 2) and of those above."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return math.inf
    quotas = [math.inf]
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        # In a container the path may be that of the host: what is not there is skipped, up to the mount.
        folder = mount / group.lstrip("/")
        while True:
            with contextlib.suppress(OSError, ValueError):
                if controllers:
                    quota, period = (
                        float((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period")
                    )
                else:
                    quota, period = (float(word) for word in (folder / "cpu.max").read_text().split())
                if quota > 0:  # -1: no limit
                    quotas.append(quota / period)
            if folder == mount:
                break
            folder = folder.parent
    return min(quotas)


class _Sample(NamedTuple):
    """Processor seconds so far: of all programs on the allowed processors, and of this one."""

    at: float
    everyone: float
    own: float


def _sample(root: Path = Path("/")) -> _Sample | None:
    """Read the counters; None on systems without /proc/stat."""
    ticks = 0
    try:
        ours = {f"cpu{i}" for i in processor().cpus}
        for line in (root / "proc/stat").read_text().splitlines():
            name, *counts = line.split()
            if name in ours:  # user, nice, system, -, -, irq, softirq, steal: all but idle and waiting
                ticks += sum(int(counts[i]) for i in (0, 1, 2, 5, 6, 7))
        hertz = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return _Sample(time.monotonic(), ticks / hertz, time.process_time())


def _busy_between(first: _Sample, last: _Sample) -> float:
    others = (last.everyone - first.everyone) - (last.own - first.own)
    return max(0.0, others / (last.at - first.at))


class LoadMeter:
    """Says how many processors other programs keep busy, from the time between its readings."""

    def __init__(self) -> None:
        self._from = _sample()
        self._busy: float | None = None

    def read(self) -> float:
        """Return the mean load since the last reading; 0 where the system does not say.

        Waits for a tenth of a second where the sample would be shorter, or began too long ago.
        """
        now = _sample()
        if now is None or self._from is None:
            return 0.0
        if now.at - self._from.at > MAX_SAMPLE_SECONDS:
            self._from, self._busy = now, None
        if now.at - self._from.at < MIN_SAMPLE_SECONDS:
            if self._busy is not None:
                return self._busy
            time.sleep(MIN_SAMPLE_SECONDS - (now.at - self._from.at))
            now = _sample() or now
        self._busy, self._from = _busy_between(self._from, now), now
        return self._busy


watch_load = functools.cache(LoadMeter)  # of the process; the first call begins the first sample


def default_threads() -> int:
    """Return how many threads run a network best now: OMP_NUM_THREADS, or one a core that is free."""
    return asked_threads() or processor().threads_beside(watch_load().read())


def asked_threads() -> int:
    """Return OMP_NUM_THREADS, which users, SLURM, Ray and torchrun set; 0 where it says no number."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def prepare_openmp() -> None:
    """Let OpenMP's threads sleep while they wait, where another program needs the time.

    It has to be called before the process loads OpenMP, which PyTorch brings. On an idle machine threads that
    spin are faster; beside another program they wait a time slice for it after each layer. Variables that the
    user has set stay as they are.
    """
    if "torch" in sys.modules or any(name in os.environ for name in _WAIT_VARIABLES):
        return
    here = processor()
    if here.quota < len(here.cpus) or watch_load().read() >= BUSY_CORES:
        os.environ.update(OMP_WAIT_POLICY="PASSIVE", KMP_BLOCKTIME="0")


def describe_processor() -> dict[str, str]:
    """Return what the processor is and what follows from it, in words, a line a fact."""
    here, busy = processor(), watch_load().read()
    limit = f", quota {here.quota:g}" if here.quota < math.inf else ""
    asked = f"{asked_threads()} (OMP_NUM_THREADS)" if asked_threads() else ""
    waits = [f"{name}={os.environ[name]}" for name in _WAIT_VARIABLES if name in os.environ]
    onnx_only = find_spec("openvino") is None
    floats = "bf16" if here.multiplies_bf16 else "fp32" if here.features else "bf16 where it is multiplied"
    return {
        "processor": here.described,
        "cores": f"{here.cores} of {os.cpu_count()} processors{limit}; others keep {busy:.1f} busy",
        "threads": (asked or str(here.threads_beside(busy))) + "".join(f", {name}" for name in waits),
        "precision": f"training {floats}, translation {'fp32' if onnx_only else floats}",
        "int8": "multiplied" if here.multiplies_int8 else "emulated" if here.features else "?",
        "engine": "ONNX Runtime" if onnx_only else "OpenVINO, or ONNX Runtime where it draws another map",
    }
