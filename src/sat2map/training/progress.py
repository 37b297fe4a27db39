"""Owns what a person sees while a training runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 15.0  # time between plain lines
SHOWN = ("d", "g_adversarial", "l1", "g")


class Display:
    """Shows epoch, images/s, losses and time left; use it as a context."""

    def __init__(self, console: Console, *, total: int, start: int, per_epoch: int, batch: int) -> None:
        self._console = console
        self._total, self._start, self._per_epoch, self._batch = total, start, per_epoch, batch
        self._began = self._last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} images/s"),
            TextColumn("{task.fields[losses]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=total, completed=start, epoch="1", rate=0.0, losses="")

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, step: int, losses: Mapping[str, float], rate: float) -> None:
        """Show where the run is, after `step` steps, with mean losses and images/s of late."""
        epoch = f"{(step - 1) // self._per_epoch + 1}/{self._total // self._per_epoch}"
        text = "  ".join(f"{name} {losses[name]:.3f}" for name in SHOWN if name in losses)
        self._bar.update(self._task, completed=step, epoch=epoch, rate=rate, losses=text)
        now = time.monotonic()
        if not self._console.is_terminal and (now - self._last_line >= LINE_SECONDS or step == self._total):
            self._last_line = now
            left = (now - self._began) / max(1, step - self._start) * (self._total - step)
            where = f"epoch {epoch}  step {step}/{self._total}"
            self.say(f"{where}  {rate:.1f} images/s  {text}  {_minutes(left)} left")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _minutes(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
