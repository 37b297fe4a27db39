"""Owns running a generator with ONNX Runtime, which the base install brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sat2map.engines.graphs import make_graph, refuse_paper_mode, run_on_pixels
from sat2map.engines.machine import default_threads
from sat2map.errors import ModelFileError
from sat2map.graph.metadata import PRECISION_KEY, SOURCE
from sat2map.model_file import InferenceMode, ModelHeader, is_exported, read_header

# Where ONNX Runtime reports its use to its maker (on Windows), ours is nobody's business.
onnxruntime.disable_telemetry_events()


class OnnxEngine:
    """A generator in ONNX Runtime, on the CPU (see `sat2map.engines.Engine`); threads may share one."""

    def __init__(
        self, graph: bytes | Path, header: ModelHeader, *, threads: int = 0, low_memory: bool = False
    ) -> None:
        """Prepare a graph, as of `sat2map.graph.build.build_graph` or an exported .onnx file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or default_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if low_memory:  # give memory back after each picture, and keep the weights in one layout only
            options.enable_cpu_mem_arena = options.enable_mem_pattern = False
            options.add_session_config_entry("session.disable_prepacking", "1")
        content = str(graph) if isinstance(graph, Path) else graph
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._takes_pixels = self._session.get_inputs()[0].type == "tensor(uint8)"
        self.header = header
        precision = self._session.get_modelmeta().custom_metadata_map.get(PRECISION_KEY, "fp32")
        self.name = f"ONNX Runtime on cpu, {precision}, {_count(options.intra_op_num_threads)}"

    @classmethod
    def open(
        cls, model: Path, *, mode: InferenceMode | None = None, threads: int = 0, low_memory: bool = False
    ) -> OnnxEngine:
        """Open a model file or an exported .onnx file (see `sat2map.engines.open_engine`)."""
        header = read_header(model)
        if mode is not None:
            header = header.model_copy(update={"inference_mode": mode})
        refuse_paper_mode(model, header)
        if model.suffix.lower() == ".xml":
            raise ModelFileError(f"{model} is an OpenVINO model: leave --engine at auto, or use openvino")
        graph = model if is_exported(model) else make_graph(model, header)
        try:
            return cls(graph, header, threads=threads, low_memory=low_memory)
        except Exception as error:  # its own exceptions share no base class
            raise ModelFileError(f"{model} cannot be run by ONNX Runtime: {_first_line(error)}") from None

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a batch (see `sat2map.engines.Engine`)."""
        return run_on_pixels(self._run, source) if self._takes_pixels else self._run(source)[0]

    def _run(self, source: NDArray[np.generic]) -> list[NDArray[np.float32]]:
        outputs: list[NDArray[np.float32]] = self._session.run(None, {SOURCE: source})
        return outputs


def _count(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
