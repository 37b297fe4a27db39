"""What an exported graph says of itself: the names of its inputs and outputs, and the texts stored in it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sat2map.errors import ModelFileError

if TYPE_CHECKING:
    import onnx
    import openvino

EXPORTED_SUFFIXES: Final = (".onnx", ".xml")

SOURCE: Final = "source"
FAKE: Final = "fake"
CLASS_LOGITS: Final = "class_logits"
COLOUR_LOGITS: Final = "colour_logits"

PRECISION_KEY: Final = "sat2map_precision"  # of the weights and activations, where that is not fp32


def write_metadata(model: onnx.ModelProto | openvino.Model, texts: Mapping[str, str]) -> None:
    """Put texts into a model that is about to be saved as ONNX or OpenVINO IR."""
    for key, text in texts.items():
        if hasattr(model, "set_rt_info"):
            model.set_rt_info(text, [key])
        else:
            entry = model.metadata_props.add()
            entry.key, entry.value = key, text


def read_metadata(path: Path) -> dict[str, str]:
    """Read the texts of an .onnx or .xml file, by key.

    Raises:
        ModelFileError: The file is damaged.
    """
    try:
        return _read_onnx(path) if path.suffix.lower() == ".onnx" else _read_openvino(path)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise ModelFileError(f"{path} cannot be read ({error}): export it again") from None


def _read_onnx(path: Path) -> dict[str, str]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model(path, load_external_data=False)
    except DecodeError as error:
        raise ValueError(error) from None
    return {entry.key: entry.value for entry in model.metadata_props}


def _read_openvino(path: Path) -> dict[str, str]:
    info = ElementTree.parse(path).getroot().find("rt_info")
    return {} if info is None else {entry.tag: entry.get("value", "") for entry in info}
