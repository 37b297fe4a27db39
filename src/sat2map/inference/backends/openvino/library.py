"""OpenVINO, imported without its converter, which brings other frameworks' readers and is not needed here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

_CONVERTER = "openvino.tools.ovc"


def _import_openvino() -> Any:
    if "openvino" in sys.modules:
        import openvino

        return openvino
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # OpenVINO does without where it is missing
    try:
        import openvino
    finally:
        sys.modules.pop(_CONVERTER, None)
    openvino.convert_model = _convert_model
    return openvino


def _convert_model(*args: Any, **kwargs: Any) -> Any:
    """Convert a model as OpenVINO's function does, for other code in this process: imported when called."""
    from openvino.tools.ovc import convert_model

    return convert_model(*args, **kwargs)


if TYPE_CHECKING:
    import openvino
else:
    openvino = _import_openvino()

__all__ = ["openvino"]
