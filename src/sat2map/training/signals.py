"""Ctrl-C and SIGTERM: the step in hand ends whole, and a second signal ends at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_signals(announce: Callable[[], None]) -> Iterator[list[int]]:
    """Collect stop signals in a list, so that the step in hand ends whole; a second one ends at once.

    `announce` is called at the first one.
    """
    stop: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def ask_to_stop(number: int, frame: object) -> None:
        stop.append(number)
        for which, handler in before.items():
            signal.signal(which, handler)
        announce()

    wanted = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    try:
        for which in wanted:
            before[which] = signal.signal(which, ask_to_stop)
    except ValueError:  # not in the main thread: its owner decides
        before.clear()
    try:
        yield stop
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
