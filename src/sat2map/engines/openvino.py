"""Owns running a generator with OpenVINO."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from sat2map.engines.graphs import make_graph, refuse_paper_mode, run_on_pixels
from sat2map.engines.machine import default_threads
from sat2map.errors import ModelFileError
from sat2map.model_file import InferenceMode, ModelHeader, is_exported, read_header
from sat2map.settings import Precision

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """A generator in OpenVINO, on the CPU (see `sat2map.engines.Engine`); callers take turns."""

    def __init__(
        self,
        graph: bytes | Path | openvino.Model,
        header: ModelHeader,
        *,
        precision: Precision = "auto",
        threads: int = 0,
        low_memory: bool = False,
    ) -> None:
        """Compile a graph: ONNX as bytes, an exported .onnx or .xml file, or a model in memory."""
        core = openvino.Core()
        model = graph if isinstance(graph, openvino.Model) else core.read_model(graph)
        threads = threads or default_threads()
        config: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        if precision != "auto":  # OpenVINO's own choice is bf16 where the CPU multiplies it
            config["INFERENCE_PRECISION_HINT"] = _HINTS[precision]
        if low_memory:  # keep no kernels for shapes that are gone
            config["CPU_RUNTIME_CACHE_CAPACITY"] = 0
        compiled = core.compile_model(model, "CPU", config)
        self._takes_pixels = compiled.input(0).element_type == openvino.Type.u8
        self._request = compiled.create_infer_request()
        self._turn = threading.Lock()
        self.header = header
        kind = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name().replace("f32", "fp32")
        if any(op.get_type_name() == "FakeQuantize" for op in model.get_ops()):
            kind = f"int8 and {kind}"
        self.name = f"OpenVINO on cpu, {kind}, {threads} thread{'s' if threads > 1 else ''}"

    @classmethod
    def open(
        cls,
        model: Path,
        *,
        mode: InferenceMode | None = None,
        precision: Precision = "auto",
        threads: int = 0,
        low_memory: bool = False,
    ) -> OpenVinoEngine:
        """Open a model file or an exported one (see `sat2map.engines.open_engine`)."""
        header = read_header(model)
        if mode is not None:
            header = header.model_copy(update={"inference_mode": mode})
        refuse_paper_mode(model, header)
        if model.suffix.lower() == ".xml" and not model.with_suffix(".bin").exists():
            raise ModelFileError(
                f"{model} lacks its weights: copy {model.with_suffix('.bin').name} beside it"
            )
        graph = model if is_exported(model) else make_graph(model, header)
        try:
            return cls(graph, header, precision=precision, threads=threads, low_memory=low_memory)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelFileError(f"{model} cannot be run by OpenVINO: {reason}") from None

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a batch (see `sat2map.engines.Engine`)."""
        return run_on_pixels(self._run, source) if self._takes_pixels else self._run(source)[0]

    def _run(self, source: NDArray[np.generic]) -> list[NDArray[np.float32]]:
        with self._turn:
            found = self._request.infer([source], share_inputs=True)
            return [found[i] for i in range(len(found))]
