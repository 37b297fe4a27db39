"""Backends that run a generator on a batch: their protocol, and the choice among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import SettingsError, nearest
from sat2map.extras import is_installed
from sat2map.inference.backends.graphs import refuse_paper_mode
from sat2map.inference.backends.options import DEFAULTS, EngineOptions
from sat2map.inference.backends.record import MODEL_FILE, BackendRecord
from sat2map.inference.backends.registry import BACKENDS, candidates
from sat2map.inference.tiling import Area
from sat2map.models.model import Model, ModelLike
from sat2map.models.model_file import ModelHeader
from sat2map.runtime import may_have_gpu
from sat2map.runtime.privacy import turn_telemetry_off
from sat2map.settings import EngineName

turn_telemetry_off()  # before an engine is imported

__all__ = ["ColourBackend", "Engine", "EngineName", "EngineOptions", "Uint8Backend", "open_engine"]


class Engine(Protocol):
    """A generator that is ready to run.

    Attributes:
        header: The header of its model file.
        name: What runs it, for people.
        streams: How many calls run at the same time; further ones wait.
    """

    header: ModelHeader
    name: str
    streams: int

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a batch.

        Args:
            source: float32 (n, source_bands, h, w) in [-1, 1]; h and w are multiples of
                `header.generator.size_divisor`.

        Returns:
            float32 (n, outputs, h, w): logits of colours; or the image in [-1, 1] and class logits, and
            opened with `image_only` the image alone, in whole grey levels.
        """
        ...


@runtime_checkable
class Uint8Backend(Engine, Protocol):
    """An engine that takes and gives images of 8 bits, without a conversion to floating-point numbers."""

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate a batch.

        Args:
            pixels: uint8 (n, h, w, source_bands); h and w are multiples of `header.generator.size_divisor`.

        Returns:
            uint8 (n, h, w, target_bands), rounded to the nearest grey level.
        """
        ...


@runtime_checkable
class ColourBackend(Engine, Protocol):
    """An engine of a network of colour logits that compares them itself, before they are put in order."""

    def likeliest(self, source: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the number of the largest output at each pixel of a batch, as `likeliest.likeliest` does.

        Args:
            source: As the engine takes it.

        Returns:
            uint8 (n, h, w).
        """
        ...

    def likeliest_inside(
        self, source: NDArray[np.float32], inside: Area
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Run one image of which only the likeliest colours are wanted, in a rectangle.

        Args:
            source: As the engine takes it, of one image.
            inside: The rectangle; its sides are even.

        Returns:
            float32 (outputs, h, w), undefined in the rectangle, and the numbers of the largest outputs there,
            uint8 (inside.height, inside.width); or all outputs and None.
        """
        ...


def open_engine(model: ModelLike, options: EngineOptions = DEFAULTS, **overrides: Any) -> Engine:
    """Open a model file, or an exported model, with the engine asked for or the fastest that runs it right.

    `auto` chooses among the records of `registry.BACKENDS`: PyTorch on a GPU; on a CPU OpenVINO where it is
    installed and draws a test pattern as ONNX Runtime does, else ONNX Runtime; PyTorch for what only it can
    do. An exported file is run by the runtime of its format. The engine's `name` says which.

    Args:
        model: A model, or what `Model.find` takes.
        options: How.
        **overrides: Fields of `EngineOptions` that differ from these.

    Raises:
        ModelFileError: The file cannot be used, or not by this engine.
        MissingExtraError: The engine is not installed.
        SettingsError: There is no such engine, or the device is not on this machine or not for this engine.
    """
    options = replace(options, **overrides)
    found = Model.find(model)
    mode = options.mode or found.header.inference_mode
    if options.engine != "auto":
        return _find_backend(options).open(found.path, options)
    from sat2map.inference.backends.auto import open_first_right

    device = options.device if options.device != "auto" else ("gpu" if _has_gpu() else "cpu")
    suffix = found.path.suffix.lower() if found.is_exported else MODEL_FILE
    if found.is_exported:  # graphs run on the CPU, in eval mode
        refuse_paper_mode(found.path, found.header.model_copy(update={"inference_mode": mode}))
        device = "cpu"
    records = [
        record
        for name in (("cuda", "mps") if device == "gpu" else (device,))
        for record in candidates(suffix, name, mode)
    ]
    return open_first_right(list(dict.fromkeys(records)), found.path, options, mode)


def _find_backend(options: EngineOptions) -> BackendRecord:
    """Return the engine that was asked for.

    Raises:
        SettingsError: There is none of that name, or it does not run on the device.
        MissingExtraError: It is not installed.
    """
    if options.engine not in BACKENDS:
        names = ["auto", *sorted(BACKENDS)]
        raise SettingsError(
            f"no engine is called '{options.engine}'", hint=nearest(options.engine, names), setting="engine"
        )
    record = BACKENDS[options.engine]
    if options.device not in ("auto", *record.devices):
        raise SettingsError(
            f"the {record.label} engine runs on the {' or '.join(record.devices).upper()}",
            hint="leave the device at auto, or choose another engine",
            setting="device",
        )
    record.require()
    return record


def _has_gpu() -> bool:
    if not may_have_gpu() or not is_installed("torch"):
        return False
    from sat2map.runtime import pick_device

    return pick_device("auto").type != "cpu"
