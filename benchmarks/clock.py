"""The minutes that a bench may take: stages that no longer fit are left out, and said so."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Announces stages, and leaves out those that the time no longer suffices for.

    Attributes:
        skipped: Sentences on what was left out.
    """

    def __init__(self, minutes: float, say: Callable[[str], None]) -> None:
        self._began, self._end, self._say = time.monotonic(), time.monotonic() + 60 * minutes, say
        self.skipped: list[str] = []

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._end - time.monotonic())

    def begin(self, stage: str, needs: float = 0.0) -> bool:
        """Announce a stage, or leave it out: return whether to run it.

        Args:
            stage: What comes next.
            needs: Seconds that it takes at least.
        """
        fits = self.left >= needs
        self._say(f"[{self.seconds:4.0f} s] {stage}{'' if fits else ': left out, no time is left'}")
        if not fits:
            self.skip(f"{stage}: {self.left:.0f} s were left, and it takes {needs:.0f} s or more")
        return fits

    def skip(self, reason: str) -> None:
        """Note that something is left out."""
        self.skipped.append(reason)
