"""The engines by name. A new one is a file beside this one, and its record here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sat2map.extras import is_installed, lazily, require

if TYPE_CHECKING:
    from sat2map.inference.backends import Engine
    from sat2map.inference.backends.options import EngineOptions

MODEL_FILE: Final = ".safetensors"

Open = Callable[[Path, "EngineOptions"], "Engine"]


@dataclass(frozen=True)
class BackendRecord:
    """What an engine is called, what it needs, and what it runs.

    Attributes:
        name: Its name in settings.
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


_HERE: Final = "sat2map.inference.backends"

BACKENDS: dict[str, BackendRecord] = {
    record.name: record
    for record in (
        BackendRecord(
            "openvino",
            "OpenVINO",
            lazily(f"{_HERE}.openvino", "OpenVinoEngine.open"),
            module="openvino",
            extra="openvino",
            suffixes=(MODEL_FILE, ".xml", ".onnx"),
            exported_suffix=".xml",
            order=10,
            is_verified=True,  # it computes in bf16 where the CPU does, and bugs of its kernels were seen
        ),
        BackendRecord(
            "onnx",
            "ONNX Runtime",
            lazily(f"{_HERE}.onnx_runtime", "OnnxEngine.open"),
            module="onnxruntime",
            suffixes=(MODEL_FILE, ".onnx"),
            exported_suffix=".onnx",
            order=20,
        ),
        BackendRecord(
            "torch",
            "PyTorch",
            lazily(f"{_HERE}.torch", "TorchEngine.open"),
            module="torch",
            extra="train",
            devices=("cpu", "cuda", "mps"),
            modes=("eval", "paper"),
        ),
    )
}


def candidates(suffix: str, device: str, mode: str) -> list[BackendRecord]:
    """Return the engines that run a file on a device in a mode, in the order in which `auto` tries them.

    Those without a place in the order come last, and only where there is no other.
    """
    suited = [record for record in BACKENDS.values() if record.suits(suffix, device, mode)]
    ordered = sorted((r for r in suited if r.order is not None), key=lambda r: r.order or 0)
    return ordered or suited
