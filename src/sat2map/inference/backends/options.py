"""The options of an engine: how a model runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sat2map.settings import Device, InferenceMode, Precision


@dataclass(frozen=True)
class EngineOptions:
    """How a model runs; the defaults are the fastest that is installed and right.

    Attributes:
        engine: What runs it: a name of `registry.BACKENDS`, or `auto`.
        device: Where; only PyTorch runs on a GPU.
        mode: `eval` or `paper`; None for what the model file says.
        precision: Arithmetic; `auto` is bf16 where the hardware multiplies it and the engine can, else fp32.
        threads: CPU threads; 0 for OMP_NUM_THREADS, or one a core that other programs leave free.
        low_memory: Give up some speed for a smaller peak of memory (ONNX Runtime and OpenVINO).
        streams: Share the threads among that many calls at the same time: each takes longer, all together
            less, as no thread waits for others after each layer (ONNX Runtime and OpenVINO; PyTorch has one).
        image_only: Only images will be asked for, in whole grey levels and without the class head: the
            runtime then takes and gives bytes, which saves a small network a sixth of its time. A network
            of colour logits gives these all the same.
    """

    engine: str = "auto"
    device: Device = "auto"
    mode: InferenceMode | None = None
    precision: Precision = "auto"
    threads: int = 0
    low_memory: bool = False
    streams: int = 1
    image_only: bool = False


DEFAULTS: Final = EngineOptions()
