"""The OpenVINO engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ModelFileError
from sat2map.inference.backends.graphs import GraphEngine, read_light_graph
from sat2map.inference.backends.openvino.library import openvino
from sat2map.inference.backends.openvino.requests import Requests, has_int8
from sat2map.inference.backends.options import DEFAULTS, EngineOptions
from sat2map.inference.backends.phases import join_around, join_phases, likeliest_of_phases
from sat2map.inference.tiling import Area
from sat2map.models.model_file import ModelHeader
from sat2map.runtime.cpu import default_threads, processor

if TYPE_CHECKING:
    from sat2map.models.onnx.generator_graph import LightGraph

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine(GraphEngine):
    """A generator in OpenVINO, on the CPU (see `sat2map.inference.backends.Engine`); callers take turns."""

    def __init__(
        self,
        graph: bytes | Path | openvino.Model,
        header: ModelHeader,
        options: EngineOptions = DEFAULTS,
    ) -> None:
        """Compile a graph: ONNX as bytes, an exported .onnx or .xml file, or a model in memory."""
        model = graph if isinstance(graph, openvino.Model) else openvino.Core().read_model(graph)
        if options.image_only and not header.generator.colours:  # leave out an exported class head
            for result in model.get_results()[1:]:
                model.remove_result(result)
        threads = options.threads or default_threads()
        config: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": options.streams,
            "INFERENCE_NUM_THREADS": threads,
            # A thread bound to a core waits there for whatever else runs on it, and the others wait for it.
            "ENABLE_CPU_PINNING": False,
        }
        precision = _precision(options)
        if precision is not None:
            config["INFERENCE_PRECISION_HINT"] = _HINTS[precision]
        if options.low_memory:  # keep no kernels for shapes that are gone
            config["CPU_RUNTIME_CACHE_CAPACITY"] = 0
        self._requests = Requests(model, config, options.streams)
        compiled = self._requests.compiled
        self.uint8_io = compiled.input(0).element_type == openvino.Type.u8
        outputs = compiled.output(0).get_partial_shape()[1]
        self.has_phases = not self.uint8_io and outputs == 4 * header.generator.colours
        self.header = header
        self.streams = options.streams
        kind = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name().replace("f32", "fp32")
        if has_int8(model):
            kind = f"int8 and {kind}"
        self.name = f"OpenVINO on cpu, {kind}, {threads} thread{'s' if threads > 1 else ''}"

    @classmethod
    def open(cls, model: Path, options: EngineOptions = DEFAULTS) -> OpenVinoEngine:
        """Open a model file or an exported one (see `sat2map.inference.backends.open_engine`)."""
        graph, header = read_light_graph(model, options)
        if model.suffix.lower() == ".xml" and not model.with_suffix(".bin").exists():
            raise ModelFileError(
                f"{model} lacks its weights: copy {model.with_suffix('.bin').name} beside it"
            )
        try:
            return cls(graph if isinstance(graph, Path) else _with_weights(graph), header, options)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelFileError(f"{model} cannot be run by OpenVINO: {reason}") from None

    def likeliest(self, source: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the numbers of the largest outputs (see `sat2map.inference.backends.ColourBackend`)."""
        if not self.has_phases:
            return super().likeliest(source)
        with self._outputs(source) as (phases,):
            return likeliest_of_phases(phases)

    def likeliest_inside(
        self, source: NDArray[np.float32], inside: Area
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Run one image (see `sat2map.inference.backends.ColourBackend`)."""
        if not self.has_phases:
            return super().likeliest_inside(source, inside)
        with self._outputs(source) as (phases,):
            return join_around(phases, inside)

    def _run(self, source: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        with self._outputs(source) as outputs:
            return [join_phases(outputs[0]) if self.has_phases else each.copy() for each in outputs]

    @contextlib.contextmanager
    def _outputs(self, source: NDArray[np.generic]) -> Iterator[list[NDArray[Any]]]:
        """Run the graph; its outputs are the runtime's own arrays, until the `with` ends."""
        with self._requests.borrow(source.shape) as request:
            found = request.infer([source], share_inputs=True, share_outputs=True)
            yield [found[i] for i in range(len(found))]


def _with_weights(graph: LightGraph) -> openvino.Model:
    """Return a graph with its weights where they lie in memory: nothing is copied."""
    model = openvino.Core().read_model(graph.content)
    for parameter in model.get_parameters():
        weights = graph.weights.get(parameter.get_friendly_name())
        if weights is not None:
            parameter.output(0).replace(openvino.opset13.constant(weights, shared_memory=True).output(0))
            model.remove_parameter(parameter)
    model.validate_nodes_and_infer_types()
    return model


def _precision(options: EngineOptions) -> str | None:
    """Return the arithmetic, `fp32` or `bf16`; None for OpenVINO's own choice."""
    if options.precision != "auto":
        return options.precision
    if not processor().features:
        return None
    return "bf16" if processor().multiplies_bf16 else "fp32"
