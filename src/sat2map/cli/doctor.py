"""The command `doctor`: what is installed here, and what is missing."""

from __future__ import annotations


def doctor() -> None:
    """Print what is installed here: versions, extras, engines, hardware, folders, and what is missing.

    Examples:
        sat2map doctor
    """
