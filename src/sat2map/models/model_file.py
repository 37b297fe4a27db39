"""The model file: a generator's weights in safetensors, with a header that holds all that its use needs.

Nothing is unpickled. Each byte that matters is covered by a checksum: the header by one beside it in the
metadata, the tensors by one in the header.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sat2map.errors import ModelFileError
from sat2map.files import atomic_write_bytes
from sat2map.models.checksum import checksum_of, checksum_of_file
from sat2map.models.header import (
    FORMAT_VERSION,
    BandSpec,
    ModelHeader,
    default_bands,
    parse_header,
)
from sat2map.models.onnx.metadata import EXPORTED_SUFFIXES, read_metadata

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

__all__ = [
    "FORMAT_VERSION",
    "HEADER_KEY",
    "BandSpec",
    "ModelHeader",
    "default_bands",
    "is_exported",
    "read_arrays",
    "read_header",
    "read_weights",
    "save_model",
]

HEADER_KEY: Final = "sat2map"
DIGEST_KEY: Final = "sat2map_sha256"  # of the header's JSON, where the file is of format version 2

# Of the safetensors table and our header together; a network of 1,000 tensors needs 100 kB.
MAX_HEADER_BYTES: Final = 8 << 20
CHECKPOINT_SUFFIXES: Final = (".pth", ".pt", ".ckpt", ".pkl")


def save_model(path: Path, weights: Mapping[str, torch.Tensor], header: ModelHeader) -> None:
    """Write a model file atomically.

    Args:
        path: The file, by convention *.safetensors.
        weights: The generator's state dict.
        header: Its description; `weights_checksum` is computed here.

    Raises:
        ModelFileError: A weight is not a finite number.
        OutputError: The file cannot be written.
    """
    import torch
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    _check_finite(path, tensors, torch.isfinite)
    header = header.model_copy(update={"weights_checksum": checksum_of(save(tensors))})
    text = header.model_dump_json()
    metadata = {HEADER_KEY: text, DIGEST_KEY: _sha256(text), "format": "pt"}
    # Not save_file: its file is closed to other users, and its errors do not say that the disk is full.
    atomic_write_bytes(Path(path), save(tensors, metadata))


def read_header(path: Path) -> ModelHeader:
    """Read the header of a model file or of an exported model (.onnx, .xml); torch is not imported.

    Raises:
        ModelFileError: The file is missing, damaged, of another program, or of a newer version.
    """
    return _read_header(Path(path))[0]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a model file's weights as CPU tensors in fp32.

    Raises:
        ModelFileError: The file is missing, damaged or of another kind, or a weight is not finite.
    """
    path = Path(path)
    _verify_weights(path)
    import torch
    from safetensors.torch import load_file

    weights = load_file(path)
    _check_finite(path, weights, torch.isfinite)
    return {name: t.float() if t.is_floating_point() else t for name, t in weights.items()}


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read a model file's weights as NumPy arrays of the file's own type; torch is not imported.

    Raises:
        ModelFileError: The file is missing, damaged or of another kind, or a weight is not finite.
    """
    path = Path(path)
    _verify_weights(path)
    import numpy as np
    from safetensors.numpy import load_file

    arrays: dict[str, NDArray[Any]] = load_file(path)
    _check_finite(path, arrays, np.isfinite)
    return arrays


def is_exported(path: Path) -> bool:
    """Say whether a path is that of an exported model: a graph that its runtime runs as it is."""
    return path.suffix.lower() in EXPORTED_SUFFIXES


def _verify_weights(path: Path) -> None:
    """Check a file's header and the checksum of its weights."""
    if is_exported(path):
        raise ModelFileError(
            f"{path} is an exported model, which only runs", hint="name the *.safetensors file it was made of"
        )
    header, has_checksums = _read_header(path)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):  # checks the table of the tensors
            pass
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from None
    if has_checksums and checksum_of_file(path) != header.weights_checksum:
        raise ModelFileError(f"{path} is damaged: its weights do not match their checksum", hint=_COPY)


_COPY: Final = "copy the file again"


def _read_header(path: Path) -> tuple[ModelHeader, bool]:
    """Return a header, and whether its file has checksums, as those of format version 1 have not."""
    metadata = _read_metadata(path)
    raw = metadata.get(HEADER_KEY)
    if raw is None:
        raise ModelFileError(f"{path} is a file of another program: it lacks the '{HEADER_KEY}' header")
    if len(raw) > MAX_HEADER_BYTES:
        raise ModelFileError(f"{path} has a header of {len(raw) >> 20} MiB: it is damaged", hint=_COPY)
    header = parse_header(raw, path)
    has_checksums = json.loads(raw)["format_version"] > 1
    if has_checksums and not is_exported(path) and metadata.get(DIGEST_KEY) != _sha256(raw):
        raise ModelFileError(f"{path} is damaged: its header does not match its checksum", hint=_COPY)
    return header, has_checksums


def _read_metadata(path: Path) -> dict[str, str]:
    # Not with safetensors.safe_open, which imports NumPy; the weights are read with safetensors.
    if not path.exists():
        raise ModelFileError(
            f"{path} does not exist", hint="train a model first, or name another", setting="model"
        )
    if path.is_dir():
        raise ModelFileError(
            f"{path} is a folder", hint=f"name the model file in it, such as {path / 'best.safetensors'}"
        )
    if path.suffix.lower() in CHECKPOINT_SUFFIXES:
        raise ModelFileError(f"{path} is a pickled checkpoint, not a sat2map model file (*.safetensors)")
    if is_exported(path):
        return read_metadata(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if MAX_HEADER_BYTES < length < path.stat().st_size:
                raise ModelFileError(f"{path} has a header of {length >> 20} MiB: it is damaged", hint=_COPY)
            table = json.loads(file.read(min(length, MAX_HEADER_BYTES)))
        metadata: dict[str, str] = table.pop("__metadata__", None) or {}
        end = 8 + length + max((entry["data_offsets"][1] for entry in table.values()), default=0)
        if end != path.stat().st_size or not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError(f"{path.stat().st_size} bytes where its table has {end}")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise _unreadable(path, error) from None
    return metadata


def _unreadable(path: Path, error: Exception) -> ModelFileError:
    return ModelFileError(
        f"{path} is not a model file, or a truncated one ({error})", hint="copy or train it again"
    )


def _check_finite(path: Path, tensors: Mapping[str, Any], is_finite: Callable[[Any], Any]) -> None:
    for name, tensor in tensors.items():
        if not is_finite(tensor).all():
            raise ModelFileError(
                f"{path}: weights of {name} are not finite numbers",
                hint="the training diverged: use an earlier model",
            )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
