"""Ends child processes whose parent was killed: they would hold its port, memory and pipes without end."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable


def when_parent_ends(act: Callable[[], object]) -> None:
    """Call `act` from a thread once the process that started this one has ended.

    Args:
        act: What to do; in a process that `multiprocessing` did not start, it is never called.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        act()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
