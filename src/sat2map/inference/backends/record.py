"""What the rest of the package must know of an engine. A record imports no runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sat2map.extras import is_installed, require

if TYPE_CHECKING:
    from sat2map.inference.backends import Engine
    from sat2map.inference.backends.options import EngineOptions

MODEL_FILE: Final = ".safetensors"

Open = Callable[[Path, "EngineOptions"], "Engine"]


@dataclass(frozen=True)
class BackendRecord:
    """What an engine is called, what it needs, and what it runs.

    A new one is a folder beside this file, with a `record.py` whose `BACKEND` is a record like this, and the
    module that its `open` imports.

    Attributes:
        name: Its name in settings, that of its folder.
        label: Its name for people.
        open: Opens a file; imports the runtime when it is called.
        module: The module that must be installed.
        extra: The extra that brings it; None: the base install does.
        suffixes: Files that it runs: model files and exported ones.
        exported_suffix: Suffix of the files that are exported for it, which `auto` gives to no other engine.
        devices: Where it runs.
        modes: Inference modes that it runs.
        order: The place in which `auto` tries it; None: only for what no other engine runs.
        is_verified: Whether `auto` compares its maps with those of the next engine before it is taken.
        open_reference: Opens a file for that comparison, where `open` would prepare for many runs.
    """

    name: str
    label: str
    open: Open
    module: str
    extra: str | None = None
    suffixes: tuple[str, ...] = (MODEL_FILE,)
    exported_suffix: str | None = None
    devices: tuple[str, ...] = ("cpu",)
    modes: tuple[str, ...] = ("eval",)
    order: int | None = None
    is_verified: bool = False
    open_reference: Open | None = None

    @property
    def is_installed(self) -> bool:
        """Whether the runtime can be imported."""
        return is_installed(self.module)

    def require(self, what: str | None = None) -> None:
        """Check that the runtime is installed.

        Raises:
            MissingExtraError: It is not.
        """
        if self.extra is not None:
            require(self.module, what or f"the {self.label} engine", self.extra)

    def suits(self, suffix: str, device: str, mode: str) -> bool:
        """Whether `auto` may take it for a file, on a device, in a mode."""
        own = suffix == MODEL_FILE or suffix == self.exported_suffix
        return own and suffix in self.suffixes and device in self.devices and mode in self.modes
