"""TensorBoard's event file.

Not `SummaryWriter`: it writes in a thread of its own, where a full disk ends in a traceback.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import summary

from sat2map.files import output_error


class Board:
    """Appends to an event file of its own in a folder; raises OutputError where it cannot be written."""

    def __init__(self, folder: Path, *, first_step: int) -> None:
        # Nanoseconds: TensorBoard reads the files of a folder in the order of their names.
        self._path = folder / f"events.out.tfevents.{time.time_ns()}"
        self._add(0, file_version="brain.Event:2")
        if first_step:  # what a killed run wrote behind its checkpoint is not shown
            self._add(first_step + 1, session_log=SessionLog(status=SessionLog.START))

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve (see `sat2map.training.loggers.Logger`)."""
        for name, value in values.items():
            self._add(step, summary=summary.scalar(f"{kind}/{name}", value))  # type: ignore[no-untyped-call]

    def show(self, step: int, grid: NDArray[np.uint8]) -> None:
        """Add a picture, uint8 (h, w, 3)."""
        self._add(step, summary=summary.image("samples", grid, dataformats="HWC"))  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Nothing is open between two calls."""

    def _add(self, step: int, **what: Any) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                RecordWriter(file).write(Event(wall_time=time.time(), step=step, **what).SerializeToString())
        except OSError as error:
            raise output_error(self._path, error) from error
