"""Owns the finished rows of an unfinished job: files beside the output, for a later run to go on from."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from sat2map.errors import OutputError
from sat2map.files import atomic_write_bytes, atomic_write_text, output_error

_NAME = re.compile(r"(?P<layer>[a-z-]+)\.(?P<top>\d+)-(?P<bottom>\d+)\.tif")


class ResumeStore:
    """A folder `.OUTPUT.parts` with rows of each layer, as TIFF files; each is there whole or not at all.

    Attributes:
        folder: Where.
        output: What they will become.
    """

    def __init__(self, output: Path, job: dict[str, Any], *, resume: bool) -> None:
        """Start a job, or go on with one.

        Args:
            output: The file they will become.
            job: All that decides the result; only an equal job is gone on with.
            resume: Keep what an earlier run has left.

        Raises:
            OutputError: What is there is of another job, or the folder cannot be written.
        """
        self.output = output
        self.folder = output.with_name(f".{output.name}.parts")
        about = self.folder / "job.json"
        text = json.dumps(job, indent=1, sort_keys=True)
        if resume and about.is_file():
            found = about.read_text()
            if found != text:
                raise OutputError(
                    f"--resume cannot go on: {self.folder} was begun with another {_difference(found, job)}; "
                    "give the same options, or start anew without --resume"
                )
            return
        self.remove()
        atomic_write_text(about, text)

    def rows(self, layer: str) -> list[tuple[int, int, Path]]:
        """Return (top, bottom, file) of a layer's rows without a gap from the first one on, in order."""
        found = []
        for path in self.folder.iterdir():
            name = _NAME.fullmatch(path.name)
            if name and name["layer"] == layer:
                found.append((int(name["top"]), int(name["bottom"]), path))
        rows: list[tuple[int, int, Path]] = []
        for part in sorted(found):
            if part[0] != (rows[-1][1] if rows else 0):
                break
            rows.append(part)
        return rows

    def done(self, layer: str) -> int:
        """Return how many rows of a layer are there, from the first one on."""
        rows = self.rows(layer)
        return rows[-1][1] if rows else 0

    def write(self, layer: str, top: int, pixels: NDArray[np.uint8]) -> None:
        """Keep rows of a layer, uint8 (bands, rows, width), the first of which is number `top`.

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
        path = self.folder / f"{layer}.{top}-{top + height}.tif"
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
