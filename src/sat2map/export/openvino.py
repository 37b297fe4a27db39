"""Owns the OpenVINO formats: IR in fp32, and in int8 by NNCF."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from sat2map.engines import Engine
from sat2map.engines.graphs import make_graph
from sat2map.engines.openvino import OpenVinoEngine
from sat2map.files import output_error
from sat2map.graph.metadata import write_metadata
from sat2map.model_file import ModelHeader

Pixels = NDArray[np.uint8]


class OpenVino:
    """A model in OpenVINO; int8 where there are pictures to calibrate on (see `Converted`)."""

    def __init__(self, model: Path, header: ModelHeader, calibration: Sequence[Pixels]) -> None:
        graph = openvino.Core().read_model(make_graph(model, header, pixels=True))
        self._model = _quantize(graph, calibration) if calibration else graph
        as_used = (lambda: OpenVinoEngine(self._model, header), "int8" if calibration else "bf16")
        exact = (lambda: OpenVinoEngine(self._model, header, precision="fp32"), "fp32")
        self.candidates: list[tuple[Callable[[], Engine], str]] = (
            [as_used] if calibration else [exact, as_used]
        )

    def write(self, output: Path, texts: dict[str, str]) -> None:
        """Write the .xml and, before it, the .bin with the weights (see `Converted`)."""
        write_metadata(self._model, texts)
        folder = output.with_name(f".{output.stem}.{uuid.uuid4().hex[:8]}")
        try:
            folder.mkdir(parents=True)
            openvino.save_model(self._model, folder / output.name, compress_to_fp16=False)
            for path in (output.with_suffix(".bin"), output):
                (folder / path.name).replace(path)
        except OSError as error:
            raise output_error(output, error) from error
        except RuntimeError as error:  # OpenVINO's own, where the disk is full
            raise output_error(output, OSError(str(error).strip().splitlines()[-1])) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _quantize(model: openvino.Model, calibration: Sequence[Pixels]) -> openvino.Model:
    os.environ.setdefault("NNCF_CI", "1")  # else it reports its use to its maker
    import nncf

    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(sys.stderr):  # its progress bar
        return nncf.quantize(
            model,
            nncf.Dataset([picture[None] for picture in calibration]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(calibration),
            ignored_scope=nncf.IgnoredScope(names=_ends(model)),
        )


def _ends(model: openvino.Model) -> list[str]:
    """Return the convolutions next to the pixels: rounding shows there, and they are little of the work."""
    convolutions = [op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"]
    last_input = convolutions[-1].input_value(0)
    last = [op for op in convolutions if op.input_value(0) == last_input]
    return [op.get_friendly_name() for op in (convolutions[0], *last)]
