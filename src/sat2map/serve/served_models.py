"""Owns the models of a service: each under a name, opened once, with its queues."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sat2map.errors import SettingsError, nearest
from sat2map.inference import Translator
from sat2map.inference.backends import Engine, EngineName, EngineOptions, open_engine
from sat2map.models.model import Model, ModelLike
from sat2map.models.model_file import ModelHeader
from sat2map.runtime.cpu import asked_threads, processor
from sat2map.serve.batching import Gate, GatedEngine, Image, Lane, Progress, Work
from sat2map.serve.http_errors import NotFoundError
from sat2map.serve.input_files import Kind, translate_file
from sat2map.serve.prometheus import Metrics
from sat2map.serve.serve_settings import Limits
from sat2map.settings import Device

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class FileWork(NamedTuple):
    """A file to translate: from where, to where, what it is."""

    source: Path
    output: Path
    kind: Kind


@dataclass(frozen=True)
class ServedModel:
    """A model that is ready to translate.

    Attributes:
        name: What clients call it.
        header: What it says of itself.
        engine: What runs it, in words.
        sha256: Of the file: maps of two models are never taken for each other.
        patient: A translator for long work, which lets small images go first at every tile.
    """

    name: str
    header: ModelHeader
    engine: str
    sha256: str
    patient: Translator
    _small: Lane[Image, Image]
    _large: Lane[Image, Image]
    _files: Lane[FileWork, None]

    async def translate(
        self, source: Image, progress: Progress = lambda done, total: None
    ) -> tuple[Image, Work[Image, Image]]:
        """Translate an image when it is its turn.

        Args:
            source: uint8 (h, w, source_bands).
            progress: Called from another thread with tiles done and in all.

        Raises:
            BusyError: Too many wait already.
            ImageError: The image is not one for this model.
        """
        whole = max(source.shape[:2]) <= self.header.max_untiled_size
        return await (self._small if whole else self._large).submit(source, progress)

    async def translate_file(self, source: Path, output: Path, kind: Kind) -> Work[FileWork, None]:
        """Translate a file when it is its turn (see `sat2map.serve.input_files`).

        Raises:
            BusyError: Too many wait already.
            ImageError: The file is not one for this model.
        """
        _, work = await self._files.submit(FileWork(source, output, kind))
        return work

    @property
    def waiting(self) -> int:
        """How many images wait."""
        return len(self._small) + len(self._large) + len(self._files)

    def close(self) -> None:
        """Let its threads end."""
        self._small.close()
        self._large.close()
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
        *,
        engine: EngineName = "auto",
        device: Device = "auto",
    ) -> Models:
        """Open model files and run each once, so that the first client does not wait for that.

        Raises:
            ModelFileError: A file is missing or no model.
            SettingsError: The device is not there.
            MissingExtraError: Nothing that could run them is installed.
        """
        # All cores, as a service outlives whatever else runs while it starts.
        threads = asked_threads() or processor().threads
        options = EngineOptions(engine=engine, device=device, threads=threads, image_only=True)
        streams = min(limits.batch, threads)
        gate = Gate(streams)
        served = {}
        for name, file in files.items():
            model = Model.find(file)
            shared = open_engine(model, options, streams=streams)
            whole = shared if shared.streams == 1 else open_engine(model, options)
            served[name] = _serve(name, model.sha256, whole, shared, gate, limits, metrics)
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


def parse_models(words: list[str]) -> dict[str, Path]:
    """Read `FILE` or `NAME=FILE` each; a file's stem is its name when it is given none.

    Raises:
        SettingsError: A name is no name, or occurs twice.
    """
    found: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals:
            name, path = Path(word).stem, word
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"{name!r} is no name for a model: use NAME=FILE, letters, digits and . _ - in NAME"
            )
        if name in found:
            raise SettingsError(f"two models are called {name!r}: use --model NAME=FILE to tell them apart")
        found[name] = Path(path)
    return found


def _serve(
    name: str, sha256: str, whole: Engine, shared: Engine, gate: Gate, limits: Limits, metrics: Metrics
) -> ServedModel:
    one_of_many = Translator(GatedEngine(shared, gate, urgent=True))
    the_only_one = Translator(GatedEngine(whole, gate, urgent=True))
    patient = Translator(GatedEngine(whole, gate, urgent=False))
    # Streams do what batches are for, better; and in `paper` mode images of a batch change each other.
    alone = shared.streams > 1 or shared.header.inference_mode == "paper"

    def run_small(batch: list[Work[Image, Image]]) -> list[Image]:
        translator = one_of_many if small.crowded else the_only_one
        return translator.batch([work.source for work in batch])

    def run_large(batch: list[Work[Image, Image]]) -> list[Image]:
        return [patient(work.source, work.progress) for work in batch]

    def run_files(batch: list[Work[FileWork, None]]) -> list[None]:
        for work in batch:
            translate_file(patient, *work.source, (name, sha256), work.progress)
        return [None] * len(batch)

    spec, side = whole.header.generator, whole.header.typical_size
    for translator in (one_of_many, the_only_one):
        translator(np.zeros((side, side, spec.source_bands), np.uint8))
    small = Lane(
        run_small,
        length=limits.queue,
        threads=shared.streams,
        batch=1 if alone else limits.batch,
        alike=lambda source: source.shape,
        observe=metrics.batch.labels(name).observe,
    )
    return ServedModel(
        name,
        whole.header,
        whole.name,
        sha256,
        patient,
        small,
        Lane(run_large, length=limits.large_queue),
        Lane(run_files, length=limits.large_queue),
    )
