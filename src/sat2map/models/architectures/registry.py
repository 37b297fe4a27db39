"""The architectures by name: each folder beside this file that has a `record.py`."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

from sat2map.errors import SettingsError, nearest
from sat2map.models.architectures.record import Architecture


def _find_all() -> dict[str, Architecture]:
    """Import the record of every folder; the networks themselves stay unloaded."""
    found: dict[str, Architecture] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.ispkg:
            record = import_module(f"sat2map.models.architectures.{module.name}.record")
            found |= {architecture.name: architecture for architecture in record.ARCHITECTURES}
    return dict(sorted(found.items()))


ARCHITECTURES: dict[str, Architecture] = _find_all()


def find_architecture(name: str) -> Architecture:
    """Return an architecture by its name.

    Raises:
        SettingsError: There is no such architecture.
    """
    if name not in ARCHITECTURES:
        raise SettingsError(
            f"no architecture is called '{name}'", hint=nearest(name, ARCHITECTURES), setting="generator"
        )
    return ARCHITECTURES[name]
