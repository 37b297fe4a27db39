"""Running a generator on a batch: one small protocol, and the choice among the engines that keep it."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import SettingsError, nearest
from sat2map.extras import require
from sat2map.inference.backends.options import DEFAULTS, EngineOptions
from sat2map.models.model import Model, ModelLike
from sat2map.models.model_file import ModelHeader
from sat2map.runtime import may_have_gpu
from sat2map.runtime.privacy import turn_telemetry_off
from sat2map.settings import Device, EngineName

turn_telemetry_off()  # before an engine is imported

__all__ = ["Engine", "EngineName", "EngineOptions", "Uint8Backend", "open_engine", "require"]


class Engine(Protocol):
    """A generator that is ready to run.

    Attributes:
        header: What the model says of itself.
        name: What runs it, in words.
        streams: How many calls run at the same time; more wait for their turn.
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
            float32 (n, target_bands + classes, h, w): the image in [-1, 1], then class logits; opened for
            `pictures`, the image alone, in whole grey levels.
        """
        ...


@runtime_checkable
class Uint8Backend(Engine, Protocol):
    """An engine that takes pictures as they are, and need not be given them as floating-point numbers."""

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate a batch.

        Args:
            pixels: uint8 (n, h, w, source_bands); h and w are multiples of `header.generator.size_divisor`.

        Returns:
            uint8 (n, h, w, target_bands), rounded to the nearest grey level.
        """
        ...


def open_engine(model: ModelLike, options: EngineOptions = DEFAULTS, **words: Any) -> Engine:
    """Open a model file, or an exported model, with the engine asked for or the fastest that runs it right.

    `auto` takes PyTorch on a GPU; on a CPU OpenVINO where it is installed and draws a test pattern as ONNX
    Runtime does, else ONNX Runtime; PyTorch for what only it can do. An exported file is run by the runtime
    of its format. The engine's `name` tells.

    Args:
        model: A model, or what `Model.find` takes.
        options: How.
        **words: Fields of `EngineOptions` that differ from these.

    Raises:
        ModelFileError: The file cannot be used, or not by this engine.
        MissingExtraError: The engine is not installed.
        SettingsError: There is no such engine, or the device is not on this machine or not for this engine.
    """
    options = replace(options, **words)
    engine = options.engine
    found = Model.find(model)
    paper = (options.mode or found.header.inference_mode) == "paper"
    if engine not in get_args(EngineName):
        raise SettingsError(f"no engine is called '{engine}', {nearest(engine, get_args(EngineName))}")
    if engine in ("onnx", "openvino") and options.device not in ("auto", "cpu"):
        raise SettingsError(
            f"the {engine} engine runs on the CPU",
            hint="leave the device at auto, or use the engine torch",
            setting="device",
        )

    if engine == "openvino" or (engine == "auto" and found.path.suffix.lower() == ".xml"):
        require("openvino", "the OpenVINO engine", "openvino")
        from sat2map.inference.backends.openvino import OpenVinoEngine

        return OpenVinoEngine.open(found.path, options)
    if engine == "onnx" or (engine == "auto" and found.is_exported):
        from sat2map.inference.backends.onnx_runtime import OnnxEngine

        return OnnxEngine.open(found.path, options)
    if engine == "torch" or paper or _wants_gpu(options.device):
        require("torch", "paper mode" if paper else "the PyTorch engine", "train")
        from sat2map.inference.backends.torch import TorchEngine

        return TorchEngine.open(found.path, options)
    from sat2map.inference.backends.auto import open_fastest_on_cpu

    return open_fastest_on_cpu(found.path, options)


def _wants_gpu(device: Device) -> bool:
    if device != "auto":
        return device != "cpu"
    if not may_have_gpu() or find_spec("torch") is None:
        return False
    from sat2map.runtime import pick_device

    return pick_device("auto").type != "cpu"
