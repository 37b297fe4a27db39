"""Owns TensorBoard's event file.

Not `SummaryWriter`: it writes in a thread of its own, where a full disk ends in a traceback.
"""

from __future__ import annotations

import time
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

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Add a point to a curve."""
        self._add(step, summary=summary.scalar(name, value))  # type: ignore[no-untyped-call]

    def add_image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Add a picture, uint8 (h, w, 3)."""
        self._add(step, summary=summary.image(name, pixels, dataformats="HWC"))  # type: ignore[no-untyped-call]

    def _add(self, step: int, **what: Any) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                RecordWriter(file).write(Event(wall_time=time.time(), step=step, **what).SerializeToString())
        except OSError as error:
            raise output_error(self._path, error) from error
