"""Owns what the engines that run graphs share: where a graph comes from, and how pixels go in and out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ModelFileError
from sat2map.model_file import ModelHeader, is_exported, read_arrays
from sat2map.pixels import from_unit, to_unit

Run = Callable[[NDArray[np.generic]], list[NDArray[np.float32]]]


def make_graph(model: Path, header: ModelHeader, *, pixels: bool = False) -> bytes:
    """Return a model file's network as a serialized ONNX graph (see `sat2map.graph.build.build_graph`).

    Raises:
        ModelFileError: The weights do not fit the header, or the model runs in `paper` mode only.
    """
    from sat2map.graph.build import build_graph

    refuse_paper_mode(model, header)
    try:
        proto = build_graph(header.generator, read_arrays(model), pixels=pixels)
    except ModelFileError as error:
        raise ModelFileError(f"{model}: {error}") from None
    content: bytes = proto.SerializeToString()
    return content


def refuse_paper_mode(model: Path, header: ModelHeader) -> None:
    """Complain of a model whose pictures depend on the batch and on chance."""
    if header.inference_mode == "paper":
        what = "was exported in eval mode" if is_exported(model) else "is used in paper mode"
        raise ModelFileError(
            f"{model} {what}, and only PyTorch runs the statistics of the batch and dropout: "
            "give --mode eval, or --engine torch with the *.safetensors file"
        )


def run_on_pixels(run: Run, source: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run an exported graph, which takes and gives uint8, as an engine does.

    Args:
        run: From uint8 (n, h, w, bands) to `fake` uint8 (n, h, w, bands) and, with a class head, the logits.
        source: float32 (n, bands, h, w) in [-1, 1].

    Returns:
        float32 (n, target_bands + classes, h, w), the image rounded to whole grey levels.
    """
    fake, *logits = run(from_unit(source))
    return np.concatenate([to_unit(fake.astype(np.uint8, copy=False)), *logits], axis=1)
