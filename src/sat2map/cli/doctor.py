"""The command `doctor`: what is installed here, what this machine has, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from sat2map.errors import OutputError
from sat2map.extras import EXTRAS, is_installed, missing_modules
from sat2map.installation import install_command

PACKAGES = ("numpy", "pillow", "onnxruntime", "openvino", "torch", "rasterio", "fastapi", "ray")
MIN_FREE_GIB = 1.0  # below this a training or a large raster soon fills the disk


def doctor() -> None:
    """Print what is installed here: versions, extras, engines, hardware, folders, and what is missing.

    Examples:
        sat2map doctor
    """
    for title, rows in (
        ("Versions", _versions()),
        ("Extras", _extras()),
        ("Engines", _engines()),
        ("Machine", _machine()),
        ("Folders", _folders()),
    ):
        print(f"{title}:")
        for name, fact in rows:
            print(f"  {name:<14} {fact}")
        print()
    missing = {extra: modules for extra in EXTRAS if (modules := missing_modules(extra))}
    if missing:
        print("To install what is missing, or some of it:")
        print(f"  {install_command(*missing)}")
    else:
        print("All extras are installed.")


def _versions() -> Iterator[tuple[str, str]]:
    yield "sat2map", f"{metadata.version('sat2map')}, in {Path(__file__).parents[1]}"
    yield "Python", f"{platform.python_version()}, {sys.executable}"
    yield "system", platform.platform()
    for name in PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "not installed"


def _extras() -> Iterator[tuple[str, str]]:
    for extra, use in EXTRAS.items():
        missing = missing_modules(extra)
        state = f"missing ({', '.join(missing)})" if missing else "installed"
        yield extra, f"{use.purpose}: {state}"


def _engines() -> Iterator[tuple[str, str]]:
    yield "ONNX Runtime", "installed"
    yield "OpenVINO", "installed" if is_installed("openvino") else "needs the 'openvino' extra"
    if not is_installed("torch"):
        yield "PyTorch", "needs the 'train' extra"
        return
    import torch

    from sat2map.runtime import pick_device

    device = pick_device("auto")
    gpu = "no GPU that it can use"
    if device.type == "cuda":
        gpu = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    elif device.type == "mps":
        gpu = "Apple GPU"
    yield "PyTorch", gpu


def _machine() -> Iterator[tuple[str, str]]:
    from sat2map.runtime.cpu import describe_processor

    yield from describe_processor().items()
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        yield "memory", f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"


def _folders() -> Iterator[tuple[str, str]]:
    from sat2map.files import cache_folder, state_folder

    for name, find in (
        ("working folder", Path.cwd),
        ("cache", cache_folder),
        ("state", state_folder),
        ("temporary", lambda: Path(tempfile.gettempdir())),
    ):
        try:
            folder = find()
        except (OutputError, OSError) as error:  # no home folder, or a working folder that was deleted
            yield name, f"none: {error}"
        else:
            yield name, f"{folder}: {_condition(folder)}"


def _condition(folder: Path) -> str:
    """Say whether a folder can be written to, and how much room it has."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(existing, os.W_OK):
        return "cannot be written to"
    free = shutil.disk_usage(existing).free / 2**30
    return f"{free:.1f} GiB free" + (", which is little" if free < MIN_FREE_GIB else "")
