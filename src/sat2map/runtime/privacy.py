"""Keeping libraries from reporting their use to their makers: nothing leaves the machine unasked."""

from __future__ import annotations

import os
import sys
from typing import Final

# ONNX Runtime (which also writes a device id), huggingface_hub, Ray, and a convention of several tools.
_SWITCHES: Final = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
}


def turn_telemetry_off() -> None:
    """Turn off the telemetry of all engines and tools, unless the user's environment says otherwise.

    It works only before they are imported: OpenVINO reports its import to an analytics host, and writes an id
    into the home folder. It has no switch, but does without a telemetry package that cannot be imported.
    """
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
