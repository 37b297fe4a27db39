"""The worker of a bulk job: it holds the model, does one task after the other, and reports each."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sat2map.bulk.manifest import MAX_ATTEMPTS, CrashCounter, TaskRecord, source_key, stamp_of
from sat2map.bulk.planning import Reading
from sat2map.bulk.store import Store
from sat2map.bulk.tasks import Task
from sat2map.errors import ImageError, OutputError, Sat2MapError
from sat2map.files import sha256_of
from sat2map.geo.addresses import shown
from sat2map.inference import Translator
from sat2map.inference.backends.options import DEFAULTS, EngineOptions
from sat2map.inference.image_files import Job, for_pictures, translate_image
from sat2map.inference.scale import ScaledTranslator
from sat2map.models.model_file import read_header


@dataclass(frozen=True)
class WorkOptions:
    """How every task of a job is done.

    Attributes:
        folder: Where outputs are made, and stay unless there is a store.
        model: The model file.
        model_sha256: Its checksum.
        engine_options: How it runs.
        tta: Average over the eight symmetries.
        bands: Bands of rasters to read.
        scale: Limits of the bands.
        resolution: As in `sat2map.geo.raster_job.RasterOptions`.
        cut: Side of the windows that large rasters are cut into (px).
        gsd: Metres per pixel of images and of rasters without a CRS; None: that of the model.
        store: The address in object storage where finished outputs go, or "".
    """

    folder: Path
    model: Path
    model_sha256: str = ""
    engine_options: EngineOptions = DEFAULTS
    tta: bool = False
    bands: tuple[int, ...] | None = None
    scale: tuple[float, ...] | None = None
    resolution: float | Literal["auto", "source"] = "auto"
    cut: int = 0
    gsd: float | None = None
    store: str = ""

    def open_store(self) -> Store | None:
        """Return the store, or None for a job that stays in its folder.

        Raises:
            SettingsError: Its address cannot be used.
            MissingExtraError: obstore is not installed.
        """
        return Store(self.store) if self.store else None

    def config_key(self) -> dict[str, Any]:
        """Return what decides the outputs: with anything else, a job in the same folder is another job."""
        return {
            "model": self.model_sha256,
            "engine": self.engine_options.engine,
            "mode": self.engine_options.mode,
            "precision": self.engine_options.precision,
            "tta": self.tta,
            "bands": self.bands and list(self.bands),
            "scale": self.scale and list(self.scale),
            "resolution": self.resolution,
            "cut": self.cut,
            "gsd": self.gsd,
        }

    def reading(self) -> Reading:
        """Return how rasters are read, for `plan_tasks`.

        Raises:
            ModelFileError: The model cannot be read.
        """
        header, gsd = read_header(self.model), None
        if self.resolution != "source":
            gsd = header.gsd
            if self.resolution != "auto":
                from sat2map.geo.raster_job import network_gsd

                gsd = network_gsd(header, self.resolution)
        return Reading(
            self.bands,
            header.generator.source_bands,
            self.scale,
            header.max_untiled_size,
            gsd,
            measure=header.limits is None,
        )


class Worker:
    """A model, ready for tasks. Images may be done in several threads at the same time.

    Attributes:
        streams: How many of them are in the network at once.
    """

    def __init__(self, options: WorkOptions, *, images: int = 0) -> None:
        """Open the model, for so many images where there is nothing else.

        Raises:
            Sat2MapError: It cannot be used here.
        """
        self._options, self._store = options, options.open_store()
        how = options.engine_options
        if images:
            how = for_pictures(how, images, tta=options.tta)
        self._translator = Translator.open(options.model, how, tta=options.tta)
        self.streams = self._translator.engine.streams
        self._turn = threading.Semaphore(self.streams)
        self._of_images: Translator | ScaledTranslator = self._translator
        if options.gsd is not None:
            self._of_images = ScaledTranslator(self._translator, options.gsd)
        self._process = socket.gethostname(), os.getpid()

    def __call__(self, task: Task) -> TaskRecord:
        """Do a task; whatever goes wrong with it is in its record."""
        record = TaskRecord(
            task.output,
            source_key(task.source),
            "failed",
            stamp=stamp_of(task),
            scale=task.scale,
            engine=self._translator.engine.name,
            process=self._process,
        )
        attempts = CrashCounter(self._options.folder, task)
        start = time.perf_counter()
        try:
            if attempts.begin() >= MAX_ATTEMPTS:
                raise ImageError(
                    f"{shown(task.source)} ended {MAX_ATTEMPTS} processes: it crashes its decoder, or "
                    "needs more memory than there is",
                    hint="a resumed job tries it again",
                )
            record = self._translate(task, record)
        except OutputError as error:
            record = replace(record, error=str(error), fatal=True)
        except Sat2MapError as error:
            record = replace(record, error=str(error), setting=error.setting or "")
        except Exception as error:  # a fault of ours or of a library: this file's, not the job's
            record = replace(record, error=f"unexpected {type(error).__name__}: {error}")
        attempts.end()
        return replace(record, seconds=time.perf_counter() - start, at=time.time())

    def _translate(self, task: Task, record: TaskRecord) -> TaskRecord:
        path = self._options.folder / task.output
        if task.is_raster:
            # Not at the top: it brings GDAL, which images do not need.
            from sat2map.bulk.raster_tasks import translate_raster_task

            record = translate_raster_task(self._translator, self._options, task, path, record)
            if record.state == "empty":
                return record
        else:
            job = Job(Path(task.source), path, replace=True)
            scale = task.scale or self._options.scale
            translate_image(self._of_images, job, turn=self._turn, scale=scale)
        record = replace(record, state="done", size=path.stat().st_size, sha256=sha256_of(path))
        if self._store is not None:
            self._store.upload(task.output, path)
            path.unlink()
        return record
