"""Optional dependencies: which extra brings a module, and the error where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

from sat2map.errors import MissingExtraError


def require(module: str, what: str, extra: str) -> None:
    """Complain where `what` needs a module that only an extra brings.

    Raises:
        MissingExtraError: It is not installed.
    """
    if find_spec(module) is None:
        raise MissingExtraError(what, extra)


def require_geo(what: str) -> None:
    """Say which extra is missing, in one sentence, where rasterio is.

    Raises:
        MissingExtraError: The `geo` extra is not installed.
    """
    try:
        import rasterio  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "rasterio":
            raise
        raise MissingExtraError(what, "geo") from None
