"""Owns running a generator on a batch: one small protocol, and the choice among the engines that keep it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from sat2map.engines.machine import may_have_gpu
from sat2map.errors import MissingExtraError, SettingsError, nearest
from sat2map.hub import find_model
from sat2map.model_file import InferenceMode, ModelHeader, is_exported, read_header
from sat2map.settings import Device, Precision

EngineName = Literal["auto", "torch", "onnx", "openvino"]


class Engine(Protocol):
    """A generator that is ready to run.

    Attributes:
        header: What the model says of itself.
        name: What runs it, in words.
    """

    header: ModelHeader
    name: str

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a batch.

        Args:
            source: float32 (n, source_bands, h, w) in [-1, 1]; h and w are multiples of
                `header.generator.multiple`.

        Returns:
            float32 (n, target_bands + classes, h, w): the image in [-1, 1], then class logits.
        """
        ...


def open_engine(
    model: Path,
    *,
    engine: EngineName = "auto",
    device: Device = "auto",
    mode: InferenceMode | None = None,
    precision: Precision = "auto",
    threads: int = 0,
    low_memory: bool = False,
) -> Engine:
    """Open a model file, or an exported model, with the engine asked for or the fastest that runs it right.

    `auto` takes PyTorch on a GPU; on a CPU OpenVINO where it is installed and draws a test pattern as ONNX
    Runtime does, else ONNX Runtime; PyTorch for what only it can do. An exported file is run by the runtime
    of its format. The engine's `name` tells.

    Args:
        model: A model file (*.safetensors), an exported one (*.onnx, *.xml), or one of the hub (hf://user/repo).
        engine: What runs it.
        device: Where; only PyTorch runs on a GPU.
        mode: `eval` or `paper`; None for what the model file says.
        precision: Arithmetic; `auto` is bf16 where the hardware multiplies it and the engine can, else fp32.
        threads: CPU threads; 0 for one a physical core that this process may use.
        low_memory: Give up some speed for a smaller peak of memory (ONNX Runtime and OpenVINO).

    Raises:
        ModelFileError: The file cannot be used, or not by this engine.
        MissingExtraError: The engine is not installed.
        SettingsError: There is no such engine, or the device is not on this machine or not for this engine.
    """
    model = find_model(model)
    header = read_header(model)
    paper = (mode or header.inference_mode) == "paper"
    if engine not in get_args(EngineName):
        raise SettingsError(f"no engine is called '{engine}', {nearest(engine, get_args(EngineName))}")
    if engine in ("onnx", "openvino") and device not in ("auto", "cpu"):
        raise SettingsError(
            f"the {engine} engine runs on the CPU: leave --device at auto, or use --engine torch"
        )

    if engine == "openvino" or (engine == "auto" and model.suffix.lower() == ".xml"):
        require("openvino", "the OpenVINO engine", "openvino")
        from sat2map.engines.openvino import OpenVinoEngine

        return OpenVinoEngine.open(
            model, mode=mode, precision=precision, threads=threads, low_memory=low_memory
        )
    if engine == "onnx" or (engine == "auto" and is_exported(model)):
        from sat2map.engines.onnx import OnnxEngine

        return OnnxEngine.open(model, mode=mode, threads=threads, low_memory=low_memory)
    if engine == "torch" or paper or _wants_gpu(device):
        require("torch", "paper mode" if paper else "the PyTorch engine", "train")
        from sat2map.engines.torch import TorchEngine

        return TorchEngine.open(model, device=device, mode=mode, precision=precision, threads=threads)
    from sat2map.engines.auto import open_fastest_on_cpu

    return open_fastest_on_cpu(model, precision=precision, threads=threads, low_memory=low_memory)


def require(module: str, what: str, extra: str) -> None:
    """Complain where `what` needs a module that only an extra brings.

    Raises:
        MissingExtraError: It is not installed.
    """
    if find_spec(module) is None:
        raise MissingExtraError(what, extra)


def _wants_gpu(device: Device) -> bool:
    if device != "auto":
        return device != "cpu"
    if not may_have_gpu() or find_spec("torch") is None:
        return False
    from sat2map.runtime import pick_device

    return pick_device("auto").type != "cpu"
