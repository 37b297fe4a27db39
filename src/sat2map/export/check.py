"""The parity check: how far the images of an exported model are from the model's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from sat2map.errors import ModelFileError
from sat2map.images.pixels import from_unit, to_unit
from sat2map.inference.backends import Engine, EngineOptions, Uint8Backend
from sat2map.inference.drawing import Drawer
from sat2map.models.model_file import ModelHeader

# Largest mean error in grey levels. In fp32 a level flips only where rounding was a close call.
LIMITS: Final = {"fp32": 0.05, "bf16": 0.5, "int8": 1.0}


@dataclass(frozen=True)
class Converted:
    """A model in another format, in memory.

    Attributes:
        candidates: Ways to run it that are checked, and the limit of each (see `LIMITS`).
        write: Writes it atomically to a path, with texts as its metadata.
    """

    candidates: list[tuple[Callable[[], Engine], str]]
    write: Callable[[Path, dict[str, str]], None]


class Check(BaseModel):
    """What a parity check found; stored in the exported file.

    Attributes:
        reference: What drew the pictures that the export was compared with.
        engine: What ran the export.
        pictures: Where the pictures came from.
        sizes: Their (height, width).
        mean_error: Mean absolute difference, in grey levels of 0..255.
        max_error: The largest difference of any pixel, in grey levels.
        limit: What the mean error must not exceed.
    """

    model_config = ConfigDict(frozen=True)

    reference: str
    engine: str
    pictures: str
    sizes: tuple[tuple[int, int], ...]
    mean_error: float
    max_error: int
    limit: float

    def __str__(self) -> str:
        sizes = ", ".join(f"{width}×{height}" for height, width in dict.fromkeys(self.sizes))
        return (
            f"{self.engine} differs from {self.reference} by {self.mean_error:.3f} grey levels on average "
            f"(limit {self.limit:g}) and {self.max_error} at most, on {len(self.sizes)} pictures "
            f"({self.pictures}) of {sizes} px"
        )


def open_reference(model: Path) -> Engine:
    """Open a model file in eval mode with what exports are compared with: PyTorch in fp32, if installed."""
    if find_spec("torch") is None:
        from sat2map.inference.backends.onnx.engine import OnnxEngine

        return OnnxEngine.open(model, EngineOptions(mode="eval"))
    from sat2map.inference.backends.torch.engine import TorchEngine

    return TorchEngine.open(model, EngineOptions(device="cpu", mode="eval", precision="fp32"))


def check_parity(
    reference: Engine, candidate: Engine, pictures: Sequence[NDArray[np.uint8]], origin: str, limit: float
) -> Check:
    """Compare an export with the model it was made of.

    Args:
        reference: Of `open_reference`.
        candidate: The export.
        pictures: uint8 (h, w, source_bands) each.
        origin: Where they come from, in words.
        limit: Largest mean error (grey levels).

    Raises:
        ModelFileError: The mean error is over the limit.
    """
    differences = [_differences(reference, candidate, [picture]) for picture in pictures]
    # And two at a time: a graph could have the batch frozen into it.
    differences.append(_differences(reference, candidate, [pictures[0], pictures[0][::-1]]))
    every = np.concatenate([difference.ravel() for difference in differences])
    check = Check(
        reference=reference.name,
        engine=candidate.name,
        pictures=origin,
        sizes=tuple(picture.shape[:2] for picture in pictures),
        mean_error=float(every.mean()),
        max_error=int(every.max()),
        limit=limit,
    )
    if not check.mean_error <= limit:
        raise ModelFileError(
            f"the export differs from the model, and was not written: {check}",
            hint="allow a larger mean error",
            setting="limit",
        )
    return check


def _differences(
    reference: Engine, candidate: Engine, pictures: Sequence[NDArray[np.uint8]]
) -> NDArray[np.int16]:
    pixels = np.stack(pictures)
    source, header = to_unit(pixels), reference.header
    theirs = _levels(reference(source), header)
    draws = header.generator.colours and getattr(candidate, "uint8_io", True)
    if draws and isinstance(candidate, Uint8Backend):  # it draws by itself
        mine = np.moveaxis(candidate.predict(pixels), -1, 1).astype(np.int16)
    else:
        mine = _levels(candidate(source), header)
    assert mine.shape == theirs.shape, (mine.shape, theirs.shape)
    difference: NDArray[np.int16] = np.abs(mine - theirs)
    return difference


def _levels(output: NDArray[np.float32], header: ModelHeader) -> NDArray[np.int16]:
    # NaN would become an arbitrary level, and pass where that happens to be near.
    if not np.isfinite(output).all():
        raise ModelFileError("the network's output is not finite: the model is damaged, or has diverged")
    if header.generator.colours:
        drawer = Drawer(header)
        return np.stack([drawer.draw(logits).image for logits in output]).astype(np.int16)
    return from_unit(output[:, : header.generator.target_bands]).astype(np.int16)
