"""Which kind of file a checkpoint really is, by its first bytes, so that a refusal names the right reason."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Final

from sat2map.errors import ModelFileError

HEAD: Final = 4096  # bytes; every kind shows itself in fewer

_SAVE_STATE_DICT: Final = "save the weights alone there, with torch.save(model.state_dict(), …)"


def reject_other_formats(path: Path) -> None:
    """Refuse what is not a checkpoint of PyTorch, by its name.

    Raises:
        ModelFileError: The file is of another program, or a placeholder for the file itself.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    found = _kind_of(head) or _kind_of_zip(path, head)
    if found is not None:
        kind, hint = found
        raise ModelFileError(f"{path} is {kind}, not a checkpoint of PyTorch", hint=hint)


def is_safetensors(path: Path) -> bool:
    """Say whether a file is in the safetensors format, whatever its suffix."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] < path.stat().st_size


def _kind_of(head: bytes) -> tuple[str, str] | None:
    if not head:
        return "an empty file", "fetch it again"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS", "fetch the file itself with 'git lfs pull'"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "an HDF5 file, as Keras writes", "only networks of PyTorch can be imported"
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page", "download the file itself"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model", "only networks of PyTorch can be imported"
    if _is_torch7(head):
        return "a file of Torch7 (Lua)", "only networks of PyTorch can be imported"
    if _is_onnx(head):
        return "an ONNX model", "import the checkpoint that it was exported from"
    return None


def _is_torch7(head: bytes) -> bool:
    """Torch7 starts with the number of a type, 1 to 8, and names classes such as nn.Sequential."""
    if len(head) < 12 or struct.unpack("<i", head[:4])[0] not in range(1, 9):
        return False
    return b"V 1" in head[:64] or b"nn." in head or b"torch." in head


def _is_onnx(head: bytes) -> bool:
    """An ONNX file is a protobuf whose first field is the version of its IR, and the next a short text."""
    if len(head) < 8 or head[0] != 0x08 or not 1 <= head[1] <= 32:
        return False
    follows_text = head[2] in (0x12, 0x1A, 0x22) and 0 < head[3] < 128
    return follows_text and head[4 : 4 + min(head[3], 16)].isascii()


def _kind_of_zip(path: Path, head: bytes) -> tuple[str, str] | None:
    if not head.startswith(b"PK"):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None  # truncated: the caller says so
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return "a TorchScript program", _SAVE_STATE_DICT
    if "archive_format" in inner or any(name.startswith("models/") for name in inner):
        return "a program of torch.export", _SAVE_STATE_DICT
    if "model.weights.h5" in names:
        return "a model of Keras", "only networks of PyTorch can be imported"
    if not any(name.endswith("data.pkl") for name in names):
        return "a zip archive", "unpack it, and name the checkpoint in it"
    return None
