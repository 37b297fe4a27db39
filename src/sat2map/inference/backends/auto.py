"""The choice of a CPU backend: the fastest that is installed and agrees with the reference."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ModelFileError
from sat2map.inference.backends import Engine
from sat2map.inference.backends.graphs import make_graph
from sat2map.inference.backends.onnx_runtime import OnnxEngine
from sat2map.inference.backends.options import EngineOptions
from sat2map.models.model_file import ModelHeader, read_header

MAX_ERROR = 0.5  # grey levels, mean over the pattern; bf16 has about 0.1 on trained models
PATTERN_SIDE = 64  # px, or the network's multiple where that is more


def open_fastest_on_cpu(model: Path, options: EngineOptions) -> Engine:
    """Open a model file in eval mode with the fastest engine that passes (see `open_engine`).

    OpenVINO computes in bf16 where the CPU does, so it has to draw a test pattern as ONNX Runtime draws it in
    fp32, within half a grey level; where bf16 does not, fp32 is tried.
    """
    header = read_header(model).model_copy(update={"inference_mode": "eval"})
    graph = make_graph(model, header, image_only=options.image_only)
    try:
        reference = OnnxEngine(graph, header, options)
    except Exception as error:  # its own exceptions share no base class
        raise ModelFileError(f"{model} cannot be run by ONNX Runtime: {str(error).strip()}") from None
    if find_spec("openvino") is None:
        return reference
    from sat2map.inference.backends.openvino import OpenVinoEngine

    source = pattern(header)
    expected = reference(source)
    tried = [options] if options.precision == "fp32" else [options, replace(options, precision="fp32")]
    for how in tried:
        try:
            engine = OpenVinoEngine(graph, header, how)
            found = engine(source)
        except RuntimeError:  # whatever an accelerator does not like about this machine, the reference runs
            continue
        if grey_error(found, expected, header) <= MAX_ERROR:
            return engine
    return reference


def pattern(header: ModelHeader) -> NDArray[np.float32]:
    """Return a picture with detail at every scale, float32 (1, source_bands, side, side) in [-1, 1]."""
    spec = header.generator
    side = max(PATTERN_SIDE, spec.size_divisor)
    random = np.random.default_rng(0)
    total = np.zeros((spec.source_bands, side, side), np.float32)
    for scale in (1, 4, 16):
        count = -(-side // scale)
        coarse = random.uniform(-1, 1, (spec.source_bands, count, count))
        total += np.kron(coarse, np.ones((scale, scale)))[:, :side, :side].astype(np.float32)
    return np.clip(total / 2, -1, 1)[None].astype(np.float32)


def grey_error(found: NDArray[np.float32], expected: NDArray[np.float32], header: ModelHeader) -> float:
    """Return the mean absolute difference of two engines' pictures in grey levels; NaN counts as infinite."""
    bands = header.generator.target_bands
    error = float(np.abs(found[:, :bands] - expected[:, :bands]).mean()) * 127.5
    return error if np.isfinite(error) else float("inf")
