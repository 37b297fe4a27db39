"""Models on the hub: their names, and downloads into the cache that all of its tools share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sat2map.errors import ModelFileError
from sat2map.models.hub.hub_errors import translate_hub_errors
from sat2map.models.model_file import read_header

DEFAULT_FILE: Final = "model.safetensors"
# One slash is what pathlib leaves of two.
_SCHEME: Final = re.compile(r"hf:/{1,2}(?=[^/])")
_NAME: Final = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>.+))?")


@dataclass(frozen=True)
class HubName:
    """A model on the hub."""

    repo: str
    revision: str | None = None
    file: str = DEFAULT_FILE

    @classmethod
    def parse(cls, text: str | Path) -> HubName:
        """Read `hf://user/repo[@revision][/file]`.

        Raises:
            ModelFileError: It has another form.
        """
        match = _NAME.fullmatch(_SCHEME.sub("", str(text)).rstrip("/"))
        if match is None:
            raise ModelFileError(f"{text} names no model: write hf://USER/REPO or hf://USER/REPO/FILE")
        return cls(match["repo"], match["revision"], match["file"] or DEFAULT_FILE)

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        file = "" if self.file == DEFAULT_FILE else f"/{self.file}"
        return f"hf://{self.repo}{revision}{file}"


def is_hub_name(model: str | Path) -> bool:
    """Say whether a model is named on the hub and not on this disk."""
    return _SCHEME.match(str(model)) is not None


def fetch(model: str | Path) -> tuple[Path, str]:
    """Return where a model of the hub lies on this disk after a download, and its full name.

    A file in the cache is not fetched again; without a network, or with `HF_HUB_OFFLINE=1`, the cache's copy
    serves. Cache, endpoint and token are those of huggingface_hub (`HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`).

    Raises:
        ModelFileError: The hub has no such model, is out of reach and the cache has none, or the file there
            is not a model file of sat2map.
        MissingExtraError: huggingface_hub is not installed.
    """
    name = HubName.parse(model)
    with translate_hub_errors(f"{name} cannot be fetched", ModelFileError):
        from huggingface_hub import hf_hub_download

        path = Path(
            hf_hub_download(
                name.repo, name.file, revision=name.revision, library_name="sat2map", etag_timeout=5
            )
        )
    try:
        read_header(path)
    except ModelFileError as error:
        raise ModelFileError(f"{name} is not a model file of sat2map: {error}") from None
    return path, str(name)
