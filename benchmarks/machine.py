"""A description of the machine."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version

from sat2map.runtime.cpu import processor


def describe_machine(threads: int) -> dict[str, str]:
    """Return processor, cores and versions, in words."""
    packages = ("torch", "onnxruntime", "openvino", "nncf", "numpy")
    return {
        "processor": processor().described,
        "threads": f"{threads} of {os.cpu_count()}",
        "date": date.today().isoformat(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {_version(name)}" for name in packages),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
