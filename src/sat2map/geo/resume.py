"""Finished blocks of an unfinished job: files beside the output, for a later run to continue from."""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from sat2map.errors import OutputError
from sat2map.files import atomic_write_bytes, atomic_write_text, output_error
from sat2map.inference.tiling import Area

_NAME = re.compile(r"(?P<layer>[a-z]+)\.(?P<top>\d+)-(?P<bottom>\d+)\.(?P<left>\d+)-(?P<right>\d+)\.tif")


class ResumeStore:
    """A folder `.OUTPUT.parts` with blocks of each layer, as TIFF files; each is whole or not there."""

    def __init__(self, output: Path, job: dict[str, Any], width: int, *, resume: bool) -> None:
        """Start a job, or continue an equal one: `job` is everything that decides the result.

        `width` is that of the output in columns.

        Raises:
            OutputError: What is there is of another job, or the folder cannot be written.
        """
        self.output = output
        self.folder = output.with_name(f".{output.name}.parts")
        self._width = width
        about = self.folder / "job.json"
        text = json.dumps(job, indent=1, sort_keys=True)
        if resume and about.is_file():
            found = about.read_text()
            if found != text:
                other = _difference(found, job)
                raise OutputError(
                    f"the job cannot be resumed: {self.folder} was begun with another {other}",
                    hint="give the same options, or start anew",
                    setting="resume",
                )
            return
        self.remove()
        atomic_write_text(about, text)

    def blocks(self, layer: str) -> list[tuple[Area, Path]]:
        """Return the blocks of a layer's complete rows, without a gap from the first row on, in order."""
        rows: dict[tuple[int, int], dict[tuple[int, int], Path]] = defaultdict(dict)
        for path in self.folder.iterdir():
            name = _NAME.fullmatch(path.name)
            if name and name["layer"] == layer:
                rows[int(name["top"]), int(name["bottom"])][int(name["left"]), int(name["right"])] = path
        blocks: list[tuple[Area, Path]] = []
        done = 0
        for (top, bottom), columns in sorted(rows.items()):
            if top != done or sum(right - left for left, right in columns) != self._width:
                break
            done = bottom
            blocks += [
                (Area(top, left, bottom, right), path) for (left, right), path in sorted(columns.items())
            ]
        return blocks

    def done(self, layer: str) -> int:
        """Return how many rows of a layer are complete, from the first one on."""
        blocks = self.blocks(layer)
        return blocks[-1][0].bottom if blocks else 0

    def write(self, layer: str, top: int, left: int, pixels: NDArray[np.uint8]) -> None:
        """Keep a block of a layer, uint8 (bands, h, w), whose first pixel is at (top, left).

        Raises:
            OutputError: The disk is full.
        """
        bands, height, width = pixels.shape
        # Through memory: GDAL, writing itself, notices a full disk at the file's close, and does not say so.
        with MemoryFile() as memory:
            with memory.open(
                driver="GTiff", count=bands, height=height, width=width, dtype="uint8", compress="zstd",
                zstd_level=1, interleave="band",
            ) as file:  # fmt: skip
                file.write(pixels)
            content = bytes(memory.getbuffer())
        path = self.folder / f"{layer}.{top}-{top + height}.{left}-{left + width}.tif"
        try:
            atomic_write_bytes(path, content)
        except OutputError as error:  # name what the user asked for, not the part of it
            cause = error.__cause__
            raise (output_error(self.output, cause) if isinstance(cause, OSError) else error) from cause

    def remove(self) -> None:
        """Remove the folder, if it is one of ours."""
        if (self.folder / "job.json").is_file():
            shutil.rmtree(self.folder, ignore_errors=True)


def _difference(found: str, job: dict[str, Any]) -> str:
    try:
        before = json.loads(found)
    except ValueError:
        return "version of sat2map"
    names = [name for name in {**before, **job} if before.get(name) != json.loads(json.dumps(job)).get(name)]
    return " and ".join(names) or "version of sat2map"
