"""The engines by name: each folder beside this file that has a `record.py`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from sat2map.inference.backends.record import BackendRecord


def _find_all() -> dict[str, BackendRecord]:
    """Import the record of every folder; the runtimes themselves stay unloaded."""
    files = sorted(Path(__file__).parent.glob("*/record.py"))
    records = [import_module(f"{__package__}.{file.parent.name}.record").BACKEND for file in files]
    return {record.name: record for record in records}


BACKENDS: dict[str, BackendRecord] = _find_all()


def candidates(suffix: str, device: str, mode: str) -> list[BackendRecord]:
    """Return the engines that run a file on a device in a mode, in the order in which `auto` tries them.

    Those without a place in the order come last, and only where there is no other.
    """
    suited = [record for record in BACKENDS.values() if record.suits(suffix, device, mode)]
    ordered = sorted((r for r in suited if r.order is not None), key=lambda r: r.order or 0)
    return ordered or suited
