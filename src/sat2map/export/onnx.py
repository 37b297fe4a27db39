"""The ONNX formats: the graph as built, and its int8 form by ONNX Runtime's quantizer."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
from numpy.typing import NDArray

from sat2map.export.check import Converted
from sat2map.files import atomic_write_bytes
from sat2map.inference.backends.graphs import make_graph
from sat2map.inference.backends.onnx.engine import OnnxEngine
from sat2map.models.model_file import ModelHeader
from sat2map.models.onnx.metadata import PRECISION_KEY, SOURCE, write_metadata

Pixels = NDArray[np.uint8]


def to_onnx(model: Path, header: ModelHeader, calibration: Sequence[Pixels]) -> Converted:
    """Return a model as an ONNX graph; int8 where there are pictures to calibrate on."""
    graph = make_graph(model, header, uint8_io=True)
    graph = _quantize(graph, calibration) if calibration else graph

    def write(output: Path, texts: dict[str, str]) -> None:
        proto = onnx.load_model_from_string(graph)
        write_metadata(proto, texts)
        atomic_write_bytes(output, proto.SerializeToString())

    return Converted([(lambda: OnnxEngine(graph, header), "int8" if calibration else "fp32")], write)


def _quantize(graph: bytes, calibration: Sequence[Pixels]) -> bytes:
    """Quantize weights per channel and activations per tensor, over the mean of the pictures' ranges."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    feeds = ({SOURCE: picture[None]} for picture in calibration)
    logging.getLogger().setLevel(max(logging.ERROR, logging.getLogger().level))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "int8.onnx"
        quantize_static(
            onnx.load_model_from_string(graph),
            output,
            SimpleNamespace(get_next=lambda: next(feeds, None)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=_ends(graph),
            # One bright pixel in one picture would else take a bit away from all others.
            extra_options={"CalibMovingAverage": True, "CalibMovingAverageConstant": 0.1},
        )
        proto = onnx.load_model(output)
    write_metadata(proto, {PRECISION_KEY: "int8"})
    content: bytes = proto.SerializeToString()
    return content


def _ends(graph: bytes) -> list[str]:
    """Return the convolutions next to the pixels: rounding shows there, and they are little of the work."""
    convolutions = [node for node in onnx.load_model_from_string(graph).graph.node if node.op_type == "Conv"]
    last_input = convolutions[-1].input[0]
    return [convolutions[0].name, *(node.name for node in convolutions if node.input[0] == last_input)]
