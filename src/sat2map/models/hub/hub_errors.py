"""The errors of huggingface_hub as sentences for users."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sat2map.errors import MissingExtraError, Sat2MapError


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
    except errors.GatedRepoError:
        raise kind(
            f"{what}: its owner asks for consent; give it on the repository's page, then log in"
        ) from None
    except errors.RepositoryNotFoundError:
        raise kind(
            f"{what}: there is no such repository, or it is not yours to see; check the name, or log in with "
            "'hf auth login'"
        ) from None
    except errors.RevisionNotFoundError:
        raise kind(f"{what}: the repository has no such revision") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise kind(
            f"{what}: the hub is out of reach and there is no copy in the cache; check the network, "
            "HF_ENDPOINT and HF_HUB_OFFLINE"
        ) from None
    except errors.EntryNotFoundError:
        raise kind(f"{what}: the repository has no such file") from None
    except errors.HFValidationError as error:
        raise kind(f"{what}: {_first_sentence(error)}") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise kind(
                f"{what}: the hub says that you have no rights to it ({status}); log in with 'hf auth login' "
                "and a token that may write"
            ) from None
        raise kind(f"{what}: {_first_sentence(error)}") from None
    except OSError as error:
        raise kind(f"{what}: {_first_sentence(error)}") from None
    except Exception as error:
        # No connection is an error of the HTTP library, which changes with the version of huggingface_hub;
        # a failed upload is a RuntimeError around one.
        is_http = isinstance(error, errors.HfHubHTTPError.__bases__[0])
        if not is_http and not (type(error) is RuntimeError and error.__cause__):
            raise
        reason = _first_sentence(error.__cause__ if not is_http and error.__cause__ else error)
        raise kind(f"{what}: the hub is out of reach ({reason}); check the network, and try again") from None


def _first_sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
