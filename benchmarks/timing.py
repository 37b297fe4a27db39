"""Timing in interleaved rounds, so that other load falls on all candidates alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def interleave(
    calls: Mapping[Name, Callable[[], object]], *, rounds: int, warm_up: int = 1, pause: float = 0.05
) -> dict[Name, list[float]]:
    """Call each twice a round, in changing order, and return the seconds of the second calls by name.

    The first call brings back to the caches what the others drove out, as a row of calls would have it there.

    Args:
        calls: What to time.
        rounds: How often.
        warm_up: Rounds that do not count, of one call each.
        pause: Seconds before each, in which the threads of the one before stop spinning.
    """
    for _ in range(warm_up):
        for call in calls.values():
            call()
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    names, chance = list(calls), random.Random(0)
    for _ in range(rounds):
        chance.shuffle(names)  # so that nothing always runs behind the same neighbour
        for name in names:
            time.sleep(pause)
            calls[name]()
            began = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - began)
    return seconds
