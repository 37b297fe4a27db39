"""Names on the hub: `hf://user/repo`, perhaps with a revision and a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sat2map.errors import ModelFileError

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
