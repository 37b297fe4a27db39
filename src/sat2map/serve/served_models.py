"""The models of a service: each has a name, is opened once, and has its own queues."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import nearest
from sat2map.inference import Translator
from sat2map.inference.backends import EngineName, EngineOptions, open_engine
from sat2map.inference.drawing import IMAGE_ONLY
from sat2map.inference.scale import size_at_model_scale
from sat2map.models.model import Model, ModelLike
from sat2map.runtime.cpu import asked_threads, processor
from sat2map.serve.batch_queue import BatchQueue, Image, Progress, Work, one_by_one
from sat2map.serve.decoder import Decoder
from sat2map.serve.http_errors import NotFoundError
from sat2map.serve.input_files import Inspected, translate_file
from sat2map.serve.pictures import ALL, Part
from sat2map.serve.priority_semaphore import PrioritySemaphore, ScheduledEngine
from sat2map.serve.prometheus import Metrics
from sat2map.serve.serve_settings import Limits
from sat2map.settings import Device

Outputs = NDArray[np.float32]


class ImageWork(NamedTuple):
    """An image to translate, uint8 (h, w, source_bands), and its metres per pixel, if known."""

    pixels: Image
    gsd: float | None


class ServedModel:
    """A model that is ready to translate.

    Where the queue for it is full, a method raises a `BusyError`; where an image or file is no input of this
    model, an `ImageError`.

    Attributes:
        name: Its name for clients.
        header: Header of the model file.
        engine: Name of the engine that runs it.
        sha256: Of the model file; it keeps maps of different models apart.
        background_translator: A translator for long work, which lets small images go first at every tile.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        options: EngineOptions,
        semaphore: PrioritySemaphore,
        limits: Limits,
        metrics: Metrics,
        decoder: Decoder,
        colors: str | None,
    ) -> None:
        """Open the model, and run it once, so that the first request is not slower than others."""
        shared = open_engine(model, options, streams=semaphore.permits)
        whole = shared if shared.streams == 1 else open_engine(model, options)
        self.name, self.sha256, self.engine, self.header = name, model.sha256, whole.name, whole.header
        multi_stream = Translator(ScheduledEngine(shared, semaphore, high_priority=True), colors=colors)
        single_stream = Translator(ScheduledEngine(whole, semaphore, high_priority=True), colors=colors)
        self.background_translator = Translator(
            ScheduledEngine(whole, semaphore, high_priority=False), colors=colors
        )
        self._decoder = decoder
        # Streams use the cores better than batches; and in `paper` mode images of a batch change each other.
        no_batching = shared.streams > 1 or self.header.inference_mode == "paper"
        run_network = single_stream.network_for(IMAGE_ONLY)

        def run_small(batch: list[Work[ImageWork, Image]]) -> list[Image]:
            translator = multi_stream if self._small.has_backlog else single_stream
            return translator.batch([work.source.pixels for work in batch], gsd=batch[0].source.gsd)

        def run_large(work: Work[ImageWork, Image]) -> Image:
            return self.background_translator(work.source.pixels, work.progress, gsd=work.source.gsd)

        def run_tile(work: Work[Outputs, Outputs]) -> Outputs:
            outputs: Outputs = run_network(work.source[None])[0]
            return outputs

        def run_file(work: Work[tuple[Inspected, Path], tuple[str, ...]]) -> tuple[str, ...]:
            return self.translate_file_now(*work.source, work.progress)

        side = self.header.typical_size
        for translator in (multi_stream, single_stream):
            translator(np.zeros((side, side, self.header.generator.source_bands), np.uint8))
        self._small = BatchQueue(
            run_small,
            length=limits.queue,
            threads=shared.streams,
            batch=1 if no_batching else limits.batch,
            batch_key=lambda source: (source.pixels.shape, source.gsd),
            observe=metrics.batch.labels(name).observe,
        )
        self._large = BatchQueue(one_by_one(run_large), length=limits.large_queue)
        self._tiles = BatchQueue(one_by_one(run_tile), length=limits.queue)
        self._files = BatchQueue(one_by_one(run_file), length=limits.large_queue)
        self._queues: tuple[BatchQueue[Any, Any], ...] = (self._small, self._large, self._tiles, self._files)

    async def translate(self, source: Image, *, gsd: float | None) -> tuple[Image, Work[ImageWork, Image]]:
        """Queue an image, uint8 (h, w, source_bands), of some gsd, if known, and return its map."""
        size = size_at_model_scale(self.header, source.shape[:2], gsd)
        whole = max(size) <= self.header.max_untiled_size
        return await (self._small if whole else self._large).submit(ImageWork(source, gsd))

    async def run_tile(self, tile: Outputs) -> Outputs:
        """Queue one tile of a raster and return the network's outputs that the drawing of an image needs.

        The tile is float32 (source_bands, h, w) in [-1, 1].
        """
        outputs, _ = await self._tiles.submit(tile)
        return outputs

    async def translate_file(self, upload: Inspected, output: Path) -> tuple[tuple[str, ...], Work[Any, Any]]:
        """Queue a raster (see `input_files`), wait for its map, and return what to know of it."""
        return await self._files.submit((upload, output))

    def translate_file_now(
        self,
        upload: Inspected,
        output: Path,
        progress: Progress,
        *,
        gsd: float | None = None,
        part: Part = ALL,
    ) -> tuple[str, ...]:
        """Translate a file in this thread, a tile at a time when no small image waits."""
        model = self.name, self.sha256
        return translate_file(
            self.background_translator, upload, output, model, progress, self._decoder, gsd=gsd, part=part
        )

    @property
    def waiting(self) -> int:
        """How many images wait."""
        return sum(map(len, self._queues))

    def close(self) -> None:
        """Let the threads end."""
        for queue in self._queues:
            queue.close()


class Models(dict[str, ServedModel]):
    """The models of a service by name, the default one first."""

    def __init__(
        self,
        files: Mapping[str, ModelLike],
        limits: Limits,
        metrics: Metrics,
        decoder: Decoder,
        *,
        engine: EngineName = "auto",
        device: Device = "auto",
        colors: str | None = None,
    ) -> None:
        """Open model files.

        Raises:
            ModelFileError: A file is missing, or not a model.
            SettingsError: This machine lacks the device, or the colours do not fit a model.
            MissingExtraError: No engine is installed.
        """
        # All cores, as a service outlives whatever else runs while it starts.
        threads = asked_threads() or processor().threads
        options = EngineOptions(engine=engine, device=device, threads=threads, image_only=colors is None)
        semaphore = PrioritySemaphore(min(limits.batch, threads))
        super().__init__(
            (name, ServedModel(name, Model.find(file), options, semaphore, limits, metrics, decoder, colors))
            for name, file in files.items()
        )

    def find(self, name: str | None) -> ServedModel:
        """Return the model of that name, or the default one for None.

        Raises:
            NotFoundError: There is none.
        """
        if name is None:
            return next(iter(self.values()))
        if name not in self:
            raise NotFoundError(f"no model is called {name!r}, {nearest(name, self)}")
        return self[name]
