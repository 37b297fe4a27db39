"""The number of threads that PyTorch trains with: chosen by load and a short measurement, repeatedly."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from sat2map.runtime import may_set_torch_threads, set_torch_threads
from sat2map.runtime.cpu import LoadMeter, default_threads, processor

CHECK_SECONDS = 5.0  # between looks at the load
RETRY_SECONDS = 60.0  # after more threads were measured to be slower


@contextmanager
def adapted_threads(device: torch.device) -> Iterator[Callable[[], None]]:
    """Train with as many threads as have a processor of their own, while other programs come and go.

    Sums in another number of threads differ in their last bits: a run that has to repeat another bit for bit
    needs a number that the user sets, which is left alone.

    Args:
        device: Where the networks are; only a CPU is looked after.

    Yields:
        To be called between two steps; most calls return at once.
    """
    if device.type != "cpu" or not may_set_torch_threads():
        yield lambda: None
        return
    before = torch.get_num_threads()
    threads, meter, look_at = _measured(1, default_threads()), LoadMeter(), time.monotonic() + CHECK_SECONDS

    def adapt() -> None:
        nonlocal threads, look_at
        if time.monotonic() < look_at:
            return
        free, pause = processor().threads_beside(meter.read()), CHECK_SECONDS
        if free < threads:
            set_torch_threads(free)
            threads = free
        elif free > threads:
            threads = _measured(threads, free)
            pause = CHECK_SECONDS if threads == free else RETRY_SECONDS
        look_at = time.monotonic() + pause

    try:
        yield adapt
    finally:
        set_torch_threads(before)


def _measured(few: int, many: int) -> int:
    """Set and return the faster of two numbers of threads.

    A few layers and their gradients, 2 to 20 ms a time, in turns: this also feels load that the system hides,
    such as that of neighbours on the same host.
    """
    if few == many:
        set_torch_threads(few)
        return few
    image = torch.ones(4, 16, 64, 64)
    weight = torch.full((16, 16, 3, 3), 0.01, requires_grad=True)

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        began, x = time.perf_counter(), image
        for _ in range(4):
            x = F.relu(F.conv2d(x, weight, padding=1))
        x.sum().backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - began

    seconds(many)  # starts the threads
    times = [(seconds(few), seconds(many)) for _ in range(5)]
    with_few, with_many = (statistics.median(column) for column in zip(*times, strict=True))
    chosen = many if with_many < with_few else few
    set_torch_threads(chosen)
    return chosen
