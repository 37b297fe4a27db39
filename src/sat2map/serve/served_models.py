"""The models of a service: each has a name, is opened once, and has its own queues."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import SettingsError, nearest
from sat2map.inference import Translator
from sat2map.inference.backends import Engine, EngineName, EngineOptions, open_engine
from sat2map.inference.drawing import IMAGE_ONLY
from sat2map.inference.scale import size_at_model_scale
from sat2map.models.model import Model, ModelLike
from sat2map.models.model_file import ModelHeader
from sat2map.runtime.cpu import asked_threads, processor
from sat2map.serve.batch_queue import BatchQueue, Image, Progress, Work
from sat2map.serve.decoder import Decoder
from sat2map.serve.http_errors import NotFoundError
from sat2map.serve.input_files import Inspected, translate_file
from sat2map.serve.pictures import ALL, Part
from sat2map.serve.priority_semaphore import PrioritySemaphore, ScheduledEngine
from sat2map.serve.prometheus import Metrics
from sat2map.serve.serve_settings import Limits
from sat2map.settings import Device

Outputs = NDArray[np.float32]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ImageWork(NamedTuple):
    """An image to translate, uint8 (h, w, source_bands), and its metres per pixel, if known."""

    pixels: Image
    gsd: float | None


class FileWork(NamedTuple):
    """A file to translate."""

    upload: Inspected
    output: Path


@dataclass(frozen=True)
class ServedModel:
    """A model that is ready to translate.

    Attributes:
        name: Its name for clients.
        header: Header of the model file.
        engine: Name of the engine that runs it.
        sha256: Of the model file; it keeps maps of different models apart.
        background_translator: A translator for long work, which lets small images go first at every tile.
    """

    name: str
    header: ModelHeader
    engine: str
    sha256: str
    background_translator: Translator
    _decoder: Decoder
    _small: BatchQueue[ImageWork, Image]
    _large: BatchQueue[ImageWork, Image]
    _tiles: BatchQueue[Outputs, Outputs]
    _files: BatchQueue[FileWork, tuple[str, ...]]

    async def translate(
        self, source: Image, progress: Progress = lambda done, total: None, *, gsd: float | None = None
    ) -> tuple[Image, Work[ImageWork, Image]]:
        """Queue an image and return its map.

        Args:
            source: uint8 (h, w, source_bands).
            progress: Called from another thread with the tiles done and the number of tiles.
            gsd: Metres per pixel of the image; None: unknown.

        Raises:
            BusyError: The queue is full.
            ImageError: The image is not an input of this model.
        """
        size = size_at_model_scale(self.header, source.shape[:2], gsd)
        whole = max(size) <= self.header.max_untiled_size
        return await (self._small if whole else self._large).submit(ImageWork(source, gsd), progress)

    async def run_tile(self, tile: Outputs) -> Outputs:
        """Queue one tile of a raster and return the network's outputs that the drawing of an image needs.

        The tile is float32 (source_bands, h, w) in [-1, 1].

        Raises:
            BusyError: The queue is full.
        """
        outputs, _ = await self._tiles.submit(tile)
        return outputs

    async def translate_file(
        self, upload: Inspected, output: Path
    ) -> tuple[tuple[str, ...], Work[FileWork, tuple[str, ...]]]:
        """Queue a raster (see `sat2map.serve.input_files`), wait for its map, and return what to know of it.

        Raises:
            BusyError: The queue is full.
            ImageError: The file is not an input of this model.
        """
        return await self._files.submit(FileWork(upload, output))

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
        return len(self._small) + len(self._large) + len(self._tiles) + len(self._files)

    def close(self) -> None:
        """Let the threads end."""
        self._small.close()
        self._large.close()
        self._tiles.close()
        self._files.close()


class Models(Mapping[str, ServedModel]):
    """The models of a service, the default one first."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        assert models
        self._models = dict(models)

    @classmethod
    def open(
        cls,
        files: Mapping[str, ModelLike],
        limits: Limits,
        metrics: Metrics,
        decoder: Decoder,
        *,
        engine: EngineName = "auto",
        device: Device = "auto",
        colors: str | None = None,
    ) -> Models:
        """Open model files and run each once, so that the first request is not slower than others.

        Raises:
            ModelFileError: A file is missing, or not a model.
            SettingsError: This machine lacks the device, or the colours do not fit a model.
            MissingExtraError: No engine is installed.
        """
        # All cores, as a service outlives whatever else runs while it starts.
        threads = asked_threads() or processor().threads
        options = EngineOptions(engine=engine, device=device, threads=threads, image_only=colors is None)
        streams = min(limits.batch, threads)
        semaphore = PrioritySemaphore(streams)
        served = {}
        for name, file in files.items():
            model = Model.find(file)
            shared = open_engine(model, options, streams=streams)
            whole = shared if shared.streams == 1 else open_engine(model, options)
            served[name] = _serve(
                name, model.sha256, whole, shared, semaphore, limits, metrics, decoder, colors
            )
        return cls(served)

    def __getitem__(self, name: str) -> ServedModel:
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def find(self, name: str | None) -> ServedModel:
        """Return the model of that name, or the default one for None.

        Raises:
            NotFoundError: There is none.
        """
        if name is None:
            return next(iter(self._models.values()))
        if name not in self._models:
            raise NotFoundError(f"no model is called {name!r}, {nearest(name, self._models)}")
        return self._models[name]


def parse_models(arguments: list[str]) -> dict[str, str | None]:
    """Parse `MODEL` or `NAME=MODEL` arguments; without a name the stem of the file or repository is used.

    Raises:
        SettingsError: A name is not valid, or occurs twice.
    """
    found: dict[str, str | None] = {}
    for argument in arguments:
        name, equals, model = argument.partition("=")
        if not equals:
            name, model = Path(argument.partition("@")[0]).stem, argument
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"{name!r} cannot be the name of a model",
                hint="use NAME=FILE, with letters, digits and . _ - in NAME",
                setting="model",
            )
        if name in found:
            raise SettingsError(
                f"two models are called {name!r}", hint="give them names with NAME=FILE", setting="model"
            )
        found[name] = model
    return found


def _serve(
    name: str,
    sha256: str,
    whole: Engine,
    shared: Engine,
    semaphore: PrioritySemaphore,
    limits: Limits,
    metrics: Metrics,
    decoder: Decoder,
    colors: str | None,
) -> ServedModel:
    multi_stream = Translator(ScheduledEngine(shared, semaphore, high_priority=True), colors=colors)
    single_stream = Translator(ScheduledEngine(whole, semaphore, high_priority=True), colors=colors)
    background_translator = Translator(ScheduledEngine(whole, semaphore, high_priority=False), colors=colors)
    # Streams use the cores better than batches; and in `paper` mode images of a batch change each other.
    no_batching = shared.streams > 1 or shared.header.inference_mode == "paper"

    def run_small(batch: list[Work[ImageWork, Image]]) -> list[Image]:
        translator = multi_stream if small.has_backlog else single_stream
        return translator.batch([work.source.pixels for work in batch], gsd=batch[0].source.gsd)

    def run_large(batch: list[Work[ImageWork, Image]]) -> list[Image]:
        return [
            background_translator(work.source.pixels, work.progress, gsd=work.source.gsd) for work in batch
        ]

    run = single_stream.network_for(IMAGE_ONLY)

    def run_tiles(batch: list[Work[Outputs, Outputs]]) -> list[Outputs]:
        return [run(work.source[None])[0] for work in batch]

    def run_files(batch: list[Work[FileWork, tuple[str, ...]]]) -> list[tuple[str, ...]]:
        return [
            translate_file(background_translator, *work.source, (name, sha256), work.progress, decoder)
            for work in batch
        ]

    spec, side = whole.header.generator, whole.header.typical_size
    for translator in (multi_stream, single_stream):
        translator(np.zeros((side, side, spec.source_bands), np.uint8))
    small = BatchQueue(
        run_small,
        length=limits.queue,
        threads=shared.streams,
        batch=1 if no_batching else limits.batch,
        batch_key=lambda source: (source.pixels.shape, source.gsd),
        observe=metrics.batch.labels(name).observe,
    )
    return ServedModel(
        name,
        whole.header,
        whole.name,
        sha256,
        background_translator,
        decoder,
        small,
        BatchQueue(run_large, length=limits.large_queue),
        BatchQueue(run_tiles, length=limits.queue),
        BatchQueue(run_files, length=limits.large_queue),
    )
