"""The errors that users see: each is one sentence that says what is wrong, where, and the nearest fix.

```
Sat2MapError
├── SettingsError        a setting, preset, palette or combination of them
├── DataError            a data set as a whole: layout, split, pairs
│   └── ImageError       one image file
├── ModelFileError       a model file or checkpoint
├── RunError             a run folder: one that exists, cannot be resumed, is not a run
├── TrainingError        a training that cannot continue (NaN, a lost process)
├── OutOfMemoryError     the device or the machine has too little memory
├── OutputError          a file that cannot be written (it exists, the disk is full, no rights)
└── MissingExtraError    an optional dependency that is not installed
```

The command line prints the sentence, with the setting as a flag, and exits with code 2. The service answers
with the problem alone. Our own mistakes are assertions, never these.
"""

from __future__ import annotations

import copyreg
import difflib
from collections.abc import Iterable
from typing import Any


class Sat2MapError(Exception):
    """Base of every error that a user can put right.

    Attributes:
        problem: What is wrong, and where.
        hint: The nearest fix, or "".
        setting: Name of the setting or argument that is wrong or would fix it, in Python's spelling, or None.
    """

    def __init__(self, problem: str, *, hint: str = "", setting: str | None = None) -> None:
        self.problem = problem
        self.hint = hint
        self.setting = setting
        super().__init__(f"{problem}: {hint}" if hint else problem)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let errors pass between processes: subclasses take other arguments than exceptions do."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class SettingsError(Sat2MapError):
    """A setting, preset or palette that cannot be used."""


class DataError(Sat2MapError):
    """A data set that cannot be used."""


class ImageError(DataError):
    """One image file that cannot be used."""


class ModelFileError(Sat2MapError):
    """A model file that cannot be used."""


class RunError(Sat2MapError):
    """A run folder that cannot be used."""


class TrainingError(Sat2MapError):
    """A training that cannot continue."""


class OutOfMemoryError(Sat2MapError):
    """The device, or the machine, has too little memory for what was asked."""


class OutputError(Sat2MapError):
    """A file that cannot be written."""


class MissingExtraError(Sat2MapError):
    """An optional dependency that is not installed; the hint is the command that installs it here."""

    def __init__(self, what: str, extra: str) -> None:
        from sat2map.installation import install_command  # its needs are for this error alone

        super().__init__(f"{what} needs the '{extra}' extra", hint=install_command(extra))


def reason(error: BaseException) -> str:
    """Return the innermost message of a failure, in one line and without its full stop."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for the known word nearest to `word`, or the list of known words."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
