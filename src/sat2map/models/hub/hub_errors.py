"""The errors of huggingface_hub as sentences for users."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from sat2map.errors import MissingExtraError, Sat2MapError

_LOG_IN: Final = "log in with 'hf auth login'"
_NO_COPY: Final = (
    "the hub is out of reach and there is no copy in the cache; check the network, HF_ENDPOINT and "
    "HF_HUB_OFFLINE"
)
# The first that fits: kinds stand before what they are kinds of.
_REASONS: Final = (
    ("GatedRepoError", "its owner asks for consent; give it on the repository's page, then log in"),
    (
        "RepositoryNotFoundError",
        f"there is no such repository, or it is not yours to see; check the name, or {_LOG_IN}",
    ),
    ("RevisionNotFoundError", "the repository has no such revision"),
    ("LocalEntryNotFoundError", _NO_COPY),
    ("OfflineModeIsEnabled", _NO_COPY),
    ("EntryNotFoundError", "the repository has no such file"),
)


@contextlib.contextmanager
def translate_hub_errors(what: str, kind: type[Sat2MapError]) -> Iterator[None]:
    """Turn what huggingface_hub raises into one sentence.

    Args:
        what: What was tried, such as `hf://user/repo cannot be fetched`.
        kind: The error to raise.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import errors
    except ModuleNotFoundError:
        raise MissingExtraError("the Hugging Face Hub", "hub") from None
    try:
        yield
    except Exception as error:
        reason = _reason(error, errors)
        if reason is None:
            raise
        raise kind(f"{what}: {reason}") from None


def _reason(error: Exception, errors: ModuleType) -> str | None:
    """Return why the hub refused, or None for an error of another kind."""
    for name, reason in _REASONS:
        if isinstance(error, getattr(errors, name)):
            return reason
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            return (
                f"the hub says that you have no rights to it ({status}); {_LOG_IN} and a token that may write"
            )
    if isinstance(error, (errors.HfHubHTTPError, errors.HFValidationError, OSError)):
        return _first_sentence(error)
    # No connection is an error of the HTTP library, which changes with the version of huggingface_hub; a
    # failed upload is a RuntimeError around one.
    cause = error.__cause__ if type(error) is RuntimeError else None
    if cause is None and not isinstance(error, errors.HfHubHTTPError.__bases__[0]):
        return None
    return f"the hub is out of reach ({_first_sentence(cause or error)}); check the network, and try again"


def _first_sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
