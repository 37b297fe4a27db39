"""What a person sees while a training runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

LINE_SECONDS = 15.0  # time between plain lines
SHOWN = ("d", "adversarial", "l1", "cross_entropy", "iou", "g")
OTHERS = 65  # columns of a terminal that the bar takes besides the losses


class Display:
    """Shows epoch, images/s, losses and time left; use it as a context once it is started."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[rate]:.1f} images/s"),
            TextColumn("{task.fields[losses]}"),
            TextColumn("{task.fields[left]} left"),
            console=console,
            disable=not console.is_terminal,
        )
        self._began = self._last_line = time.monotonic()

    def start(self, *, total: int, start: int, per_epoch: int, seconds: float | None) -> None:
        """Show a run of `total` steps that has made `start` of them and may take so many seconds more."""
        self._total, self._start, self._per_epoch = total, start, per_epoch
        self._budget = seconds
        self._began = self._last_line = time.monotonic()
        self._task = self._bar.add_task(
            "train",
            total=total,
            completed=start,
            epoch=self._epoch(min(start + 1, total)),
            rate=0.0,
            losses="",
            left="-",
        )

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, step: int) -> None:
        """Move the bar to `step` steps."""
        self._bar.update(self._task, completed=step, epoch=self._epoch(step), left=_clock(self._left(step)))

    def update(self, step: int, losses: Mapping[str, float], rate: float) -> None:
        """Show mean losses and images/s of late, after `step` steps."""
        text = "  ".join(f"{name} {losses[name]:.3f}" for name in SHOWN if name in losses)
        fitting = text
        while fitting and len(fitting) > self._console.width - OTHERS:  # else the bar loses its numbers
            fitting = fitting.rpartition("  ")[0]
        self._bar.update(self._task, rate=rate, losses=fitting)
        now = time.monotonic()
        if not self._console.is_terminal and (now - self._last_line >= LINE_SECONDS or step == self._total):
            self._last_line = now
            where = f"epoch {self._epoch(step)}  step {step}/{self._total}"
            self.say(f"{where}  {rate:.1f} images/s  {text}  {_clock(self._left(step))} left")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _epoch(self, step: int) -> str:
        return f"{(step - 1) // self._per_epoch + 1}/{self._total // self._per_epoch}"

    def _left(self, step: int) -> float:
        """Return the seconds left, by the steps since the start or by the time budget."""
        spent = time.monotonic() - self._began
        left = spent / max(1, step - self._start) * (self._total - step)
        return left if self._budget is None else max(0.0, min(left, self._budget - spent))


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours / 24:.0f} days" if hours >= 72 else f"{hours}:{minutes:02d}:{seconds:02d}"
