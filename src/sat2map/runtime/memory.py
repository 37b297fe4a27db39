"""Memory: when freed memory goes back to the system, and when Python looks for garbage."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from functools import cache
from typing import Any


def give_back_memory() -> None:
    """Give freed memory back to the system: glibc keeps what lies below something that is still in use."""
    trim = _trim()
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Look for no garbage meanwhile: importing makes hardly any, and the search was a twentieth of it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@cache
def _trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library
        return None
