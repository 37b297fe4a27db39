"""The ONNX Runtime engine, which the base install brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sat2map.errors import ModelFileError
from sat2map.inference.backends.graphs import GraphEngine, read_graph, read_light_graph
from sat2map.inference.backends.options import DEFAULTS, EngineOptions
from sat2map.inference.backends.phases import join_phases
from sat2map.models.model_file import ModelHeader
from sat2map.models.onnx.metadata import PRECISION_KEY, SOURCE
from sat2map.runtime.cpu import default_threads

# On Windows ONNX Runtime sends usage events to its maker; sat2map sends nothing.
onnxruntime.disable_telemetry_events()


class OnnxEngine(GraphEngine):
    """A generator in ONNX Runtime, on the CPU (see `backends.Engine`); threads may share one."""

    def __init__(
        self,
        graph: bytes | Path,
        header: ModelHeader,
        options: EngineOptions = DEFAULTS,
        weights: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        """Prepare a graph, as of `generator_graph.build_graph` or an exported .onnx file.

        With the weights of a light graph nothing is prepared: for an engine that runs once or twice.
        """
        how = onnxruntime.SessionOptions()
        how.intra_op_num_threads = max(1, (options.threads or default_threads()) // options.streams)
        how.inter_op_num_threads = 1
        # A thread that spins takes the time of the one it waits for, once another program runs beside them.
        how.add_session_config_entry("session.intra_op.allow_spinning", "0")
        how.log_severity_level = 3
        if options.low_memory:  # give memory back after each picture, and keep the weights in one layout only
            how.enable_cpu_mem_arena = how.enable_mem_pattern = False
            how.add_session_config_entry("session.disable_prepacking", "1")
        self._weights = dict(weights or {})
        if weights is not None:
            how.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        content = str(graph) if isinstance(graph, Path) else graph
        self._session = onnxruntime.InferenceSession(content, how, providers=["CPUExecutionProvider"])
        self.uint8_io = self._session.get_inputs()[0].type == "tensor(uint8)"
        outputs = self._session.get_outputs()[0].shape[1]
        self.has_phases = not self.uint8_io and outputs == 4 * header.generator.colours
        self.header = header
        self.streams = options.streams
        precision = self._session.get_modelmeta().custom_metadata_map.get(PRECISION_KEY, "fp32")
        self.name = f"ONNX Runtime on cpu, {precision}, {_count(how.intra_op_num_threads)}"

    @classmethod
    def open(cls, model: Path, options: EngineOptions = DEFAULTS) -> OnnxEngine:
        """Open a model file or an exported .onnx file (see `sat2map.inference.backends.open_engine`)."""
        if model.suffix.lower() == ".xml":
            raise ModelFileError(
                f"{model} is an OpenVINO model",
                hint="leave the engine at auto, or use openvino",
                setting="engine",
            )
        graph, header = read_graph(model, options)
        try:
            return cls(graph, header, options)
        except Exception as error:  # its own exceptions share no base class
            raise _misfit(model, error) from None

    @classmethod
    def open_reference(cls, model: Path, options: EngineOptions = DEFAULTS) -> OnnxEngine:
        """Open a file for a single run, in a tenth of the time: with OpenVINO's graph, and not optimized."""
        graph, header = read_light_graph(model, options)
        if isinstance(graph, Path):
            return cls.open(graph, options)
        try:
            return cls(graph.content, header, options, graph.weights)
        except Exception as error:
            raise _misfit(model, error) from None

    def _run(self, source: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        outputs: list[NDArray[Any]] = self._session.run(None, {SOURCE: source, **self._weights})
        return [join_phases(outputs[0])] if self.has_phases else outputs


def _misfit(model: Path, error: Exception) -> ModelFileError:
    return ModelFileError(f"{model} cannot be run by ONNX Runtime: {_first_line(error)}")


def _count(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
