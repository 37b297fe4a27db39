"""What an input of a command names: a file, the files of a folder, or those that a glob matches."""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path

from sat2map.errors import ImageError


def expand_input(
    text: str, accepts: Callable[[str], bool], kinds: str, *, recursive: bool = False
) -> list[str]:
    """Return the files that an input names: itself, those right in a folder, or those that a glob matches.

    Hidden files of a folder never count; `kinds` is what is wanted, for messages.

    Raises:
        ImageError: It does not exist, or names nothing that is wanted.
    """
    path = Path(text)
    if path.is_dir():
        found = [
            str(file)
            for file in sorted(path.rglob("*") if recursive else path.iterdir())
            if not file.name.startswith(".") and file.is_file() and accepts(str(file))
        ]
        if not found:
            raise ImageError(f"{text} holds no {kinds}")
        return found
    if path.exists():
        return [text]
    matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - absolute ones too
    found = [name for name in matches if Path(name).is_file()]
    if not found:
        raise ImageError(
            f"{text} does not exist and matches no file", hint="check the path, or quote the pattern"
        )
    return found
