"""Owns the model file: a generator's weights in safetensors, and a header with all that its use needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from sat2map.errors import ModelFileError
from sat2map.files import atomic_write_bytes
from sat2map.images.palette import Palette
from sat2map.models.onnx.metadata import EXPORTED_SUFFIXES, read_metadata
from sat2map.settings import Direction, GeneratorSpec, explain

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

FORMAT_VERSION: Final = 1
HEADER_KEY = "sat2map"

InferenceMode = Literal["eval", "paper"]


class ModelHeader(BaseModel):
    """What a model file says of itself; `translate` needs no flag that this answers.

    Attributes:
        format_version: Version of this header; older ones are upgraded when they are read.
        created_with: Version of sat2map that wrote the file.
        generator: The network.
        direction: Which side of the pairs was the input.
        source_range: Lowest and highest value that the input's pixels can have.
        source_dtype: Their type.
        image_size: Side of the images it was trained for (px).
        whole_limit: Longest side that is translated in one piece (px); larger images are cut into tiles.
        ground_sample_distance: Metres a pixel of the input, or None where nobody said.
        inference_mode: `eval` uses running statistics and no dropout; `paper` the statistics of the batch and
            dropout, as the paper tests.
        palette: The map's colours and classes, or None.
        settings: The training's settings, without the paths.
        data_fingerprint: Hash of the training pairs.
        steps: Updates of the generator.
        scores: Validation scores of these weights.
        notes: Anything else, in words.
    """

    # A score may be infinite (PSNR of a perfect copy) or NaN, which plain JSON has no numbers for.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    format_version: Literal[1] = FORMAT_VERSION
    created_with: str = ""
    generator: GeneratorSpec
    direction: Direction = "source-to-target"
    source_range: tuple[float, float] = (0, 255)
    source_dtype: Literal["uint8"] = "uint8"
    image_size: int = Field(256, ge=1)
    whole_limit: int = Field(1024, ge=1)
    ground_sample_distance: float | None = None
    inference_mode: InferenceMode = "eval"
    palette: Palette | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    data_fingerprint: str = ""
    steps: int = 0
    scores: dict[str, float] = Field(default_factory=dict)
    notes: str = ""


# One function a format version: it takes the raw header of that version and returns that of the next.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def save_model(path: Path, weights: Mapping[str, torch.Tensor], header: ModelHeader) -> None:
    """Write a model file atomically.

    Args:
        path: Where to; usually *.safetensors.
        weights: The generator's state dict.
        header: What it is.

    Raises:
        OutputError: The file cannot be written.
    """
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    # Not save_file: its file is closed to other users, and its errors do not say that the disk is full.
    metadata = {HEADER_KEY: header.model_dump_json(), "format": "pt"}
    atomic_write_bytes(Path(path), save(tensors, metadata))


def read_header(path: Path) -> ModelHeader:
    """Read the header of a model file or of an exported model (.onnx, .xml); torch is not imported.

    Raises:
        ModelFileError: The file is missing, truncated, of another program, or of a newer version.
    """
    raw = _read_metadata(Path(path)).get(HEADER_KEY)
    if raw is None:
        raise ModelFileError(f"{path} is a file of another program: it lacks the '{HEADER_KEY}' header")
    try:
        values = json.loads(raw)
        if not isinstance(values, dict):
            raise ModelFileError(f"{path} has a damaged header: it is no JSON object")
        return ModelHeader.model_validate_json(json.dumps(upgrade(values, path)))
    except json.JSONDecodeError as error:
        raise ModelFileError(f"{path} has a damaged header: {error}") from None
    except ValidationError as error:
        raise ModelFileError(f"{path} has a header that does not fit: {explain(error)}") from None


def upgrade(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """Bring a raw header up to today's format version, one version at a time."""
    version = values.get("format_version", 0)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version}, newer than this sat2map knows: upgrade sat2map"
        )
    for step in range(version, FORMAT_VERSION):
        if step not in UPGRADES:
            raise ModelFileError(
                f"{path} has format version {version}, which nothing ever wrote: it is damaged"
            )
        values = UPGRADES[step](values)
    return values


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a model file's weights as CPU tensors in fp32.

    Raises:
        ModelFileError: The file is missing, truncated or of another kind.
    """
    _refuse_exported(Path(path))
    _read_metadata(Path(path))
    from safetensors.torch import load_file

    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in load_file(path).items()
    }


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read a model file's weights as NumPy arrays of the file's own type; torch is not imported.

    Raises:
        ModelFileError: The file is missing, truncated or of another kind.
    """
    _refuse_exported(Path(path))
    _read_metadata(Path(path))
    from safetensors.numpy import load_file

    arrays: dict[str, NDArray[Any]] = load_file(path)
    return arrays


def describe(path: Path, header: ModelHeader) -> str:
    """Say in words what a model file is, a line a fact."""
    spec, metres = header.generator, header.ground_sample_distance
    palette = header.palette
    facts = {
        "file": f"{path} ({path.stat().st_size / 1e6:.1f} MB, format {header.format_version})",
        "network": f"{spec.architecture}, width {spec.width}, depth {spec.depth}, {spec.norm} norm, "
        f"{spec.upsample} upsampling" + (f", a head for {spec.classes} classes" if spec.classes else ""),
        "input": f"{spec.source_bands} bands, {header.source_dtype} from {header.source_range[0]:g} to "
        f"{header.source_range[1]:g}, any size; trained at {header.image_size} px"
        + (f", {metres:g} m a pixel" if metres else ""),
        "output": f"{spec.target_bands} bands, uint8"
        + (f"; map classes {', '.join(palette.names)} (palette {palette.name})" if palette else ""),
        "direction": header.direction.replace("-", " "),
        "mode": {
            "eval": "eval: running statistics, no dropout; the same picture every time",
            "paper": "paper: statistics of the batch and dropout, as the paper tests",
        }[header.inference_mode],
        "training": f"{header.steps} steps, data {header.data_fingerprint[:12] or 'unknown'}, "
        f"sat2map {header.created_with or 'unknown'}",
        "scores": ", ".join(f"{name} {score:.3f}" for name, score in header.scores.items()) or "none",
        "notes": header.notes,
    }
    return "\n".join(f"{name + ':':<11} {fact}" for name, fact in facts.items() if fact)


def is_exported(path: Path) -> bool:
    """Say whether a path is that of an exported model: a graph that its runtime runs as it is."""
    return path.suffix.lower() in EXPORTED_SUFFIXES


def _refuse_exported(path: Path) -> None:
    if is_exported(path):
        raise ModelFileError(
            f"{path} is an exported model, which only runs: name the *.safetensors file that it was made of"
        )


def _read_metadata(path: Path) -> dict[str, str]:
    if not path.exists():
        raise ModelFileError(f"{path} does not exist: train a model first, or name another with --model")
    if path.is_dir():
        raise ModelFileError(
            f"{path} is a folder: name the model file in it, such as {path / 'best.safetensors'}"
        )
    if path.suffix.lower() in (".pth", ".pt", ".ckpt", ".pkl"):
        raise ModelFileError(f"{path} is a pickled checkpoint, not a sat2map model file (*.safetensors)")
    if is_exported(path):
        return read_metadata(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"{path} is no model file, or a truncated one ({error}): copy or train it again"
        ) from None
