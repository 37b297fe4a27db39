"""The OpenVINO formats: IR in fp32, and in int8 by NNCF."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino.passes import ConstantFolding, Manager

from sat2map.export.check import Converted
from sat2map.files import output_error
from sat2map.inference.backends import EngineOptions
from sat2map.inference.backends.graphs import make_graph
from sat2map.inference.backends.openvino.engine import OpenVinoEngine
from sat2map.models.model_file import ModelHeader
from sat2map.models.onnx.metadata import write_metadata

Pixels = NDArray[np.uint8]

MUCH: Final = 0.25  # grey levels, mean error on the pictures that int8 is calibrated on


def to_openvino(model: Path, header: ModelHeader, calibration: Sequence[Pixels]) -> Converted:
    """Return a model in OpenVINO; int8 where there are pictures to calibrate on."""
    graph = openvino.Core().read_model(make_graph(model, header, uint8_io=True))
    if calibration:
        graph = _quantize(graph, header, calibration)
        return Converted([(lambda: OpenVinoEngine(graph, header), "int8")], partial(_write, graph))
    exact = EngineOptions(precision="fp32")
    return Converted(
        [
            (lambda: OpenVinoEngine(graph, header, exact), "fp32"),
            (lambda: OpenVinoEngine(graph, header), "bf16"),
        ],
        partial(_write, graph),
    )


def _write(model: openvino.Model, output: Path, texts: dict[str, str]) -> None:
    """Write the .xml and, before it, the .bin with the weights."""
    write_metadata(model, texts)
    folder = output.with_name(f".{output.stem}.{uuid.uuid4().hex[:8]}")
    try:
        folder.mkdir(parents=True)
        openvino.save_model(model, folder / output.name, compress_to_fp16=False)
        for path in (output.with_suffix(".bin"), output):
            (folder / path.name).replace(path)
    except OSError as error:
        raise output_error(output, error) from error
    except RuntimeError as error:  # OpenVINO's own, where the disk is full
        raise output_error(output, OSError(str(error).strip().splitlines()[-1])) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _quantize(model: openvino.Model, header: ModelHeader, pictures: Sequence[Pixels]) -> openvino.Model:
    """Quantize to int8 all but the convolutions next to the pixels, and up to two more.

    In bf16 a layer takes twice the time, so the next ones stay in int8 unless the pictures would be more than
    `MUCH` off.
    """
    constants = Manager()
    constants.register_pass(ConstantFolding())  # else NNCF would not find the biases that it is to correct
    constants.run_passes(model)
    expected = _draw(OpenVinoEngine(model, header, EngineOptions(precision="fp32")), pictures)
    ends, nearest = _near_pixels(model)
    for more in range(len(nearest) + 1):
        quantized = _quantize_all_but([*ends, *nearest[:more]], model, pictures)
        _share_quantizers(quantized)
        if np.abs(_draw(OpenVinoEngine(quantized, header), pictures) - expected).mean() <= MUCH:
            break
    return quantized


def _draw(engine: OpenVinoEngine, pictures: Sequence[Pixels]) -> NDArray[np.int16]:
    return np.concatenate([engine.predict(picture[None]) for picture in pictures]).astype(np.int16)


def _quantize_all_but(names: list[str], model: openvino.Model, pictures: Sequence[Pixels]) -> openvino.Model:
    os.environ.setdefault("NNCF_CI", "1")  # else it reports its use to its maker
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(sys.stderr):  # its progress bar
        return nncf.quantize(
            model,
            nncf.Dataset([picture[None] for picture in pictures]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(pictures),
            ignored_scope=nncf.IgnoredScope(names=names),
            fast_bias_correction=False,  # the other one leaves more of the error
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM
            ),
        )


def _near_pixels(model: openvino.Model) -> tuple[list[str], list[str]]:
    """Return the convolutions next to the pixels, and those next to these, the one that helps more first.

    Rounding shows there, and the ends are little of the work.
    """
    convolutions = [op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"]
    names = [op.get_friendly_name() for op in convolutions]
    last_input = convolutions[-1].input_value(0)
    last = sum(op.input_value(0) == last_input for op in convolutions)  # the class head has one of its own
    first, *inner = names[:-last]
    return [first, *names[-last:]], list(dict.fromkeys([*inner[-1:], *inner[:1]]))


def _share_quantizers(model: openvino.Model) -> None:
    """Let a skip start behind the quantizer of the next encoder layer's input, not before it.

    The quantizer is then the only one that reads the layer's output, and OpenVINO computes it within the
    convolution: nothing but bytes is written to memory.
    """
    for op in model.get_ordered_ops():
        if op.get_type_name() == "Relu":
            before = op.input_value(0)
            readers = [reader.get_node() for reader in before.get_target_inputs()]
            quantizers = [reader for reader in readers if reader.get_type_name() == "FakeQuantize"]
            if quantizers:
                op.input(0).replace_source_output(quantizers[0].output(0))
    model.validate_nodes_and_infer_types()
