"""Owns `Translator`: an image array in, a map array out, of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ImageError, ModelFileError, SettingsError
from sat2map.images.pixels import from_unit, to_unit
from sat2map.inference.backends import Engine, EngineOptions, PictureEngine, open_engine
from sat2map.inference.backends.options import DEFAULTS
from sat2map.inference.tiling import Grid, Run, tiles, translate_tiled
from sat2map.inference.tta import averaged
from sat2map.models.model import ModelLike
from sat2map.models.model_file import ModelHeader

MIN_SIDE = 16  # px; below this there is nothing in a picture that a map could show


def _no_progress(done: int, total: int) -> None: ...


class Translator:
    """Translates images of any size with one model.

    Example:
        >>> translator = Translator.open("best.safetensors")          # doctest: +SKIP
        >>> fake = translator(np.asarray(Image.open("aerial.png")))   # doctest: +SKIP

    Attributes:
        header: What the model says of itself.
        engine: What runs it.
        grid: How what is larger than `header.max_untiled_size` is cut into tiles.
        network: The engine, or with `tta` its mean over the eight symmetries.
        tta: Whether it is that mean.
    """

    def __init__(self, engine: Engine, *, tta: bool = False) -> None:
        self.header: ModelHeader = engine.header
        self.engine = engine
        self.tta = tta
        self.network: Run = averaged(engine) if tta else engine
        self.grid = Grid.for_network(
            min(self.header.max_untiled_size, 512), self.header.generator.size_divisor
        )

    @classmethod
    def open(
        cls, model: ModelLike = None, options: EngineOptions = DEFAULTS, *, tta: bool = False, **words: Any
    ) -> Translator:
        """Open a model.

        Args:
            model: What `Model.find` takes; None for the model that comes with the package.
            options: How it runs.
            tta: Average over the eight right-angle symmetries: a little better, and eight times slower.
            **words: Fields of `EngineOptions` that differ from these, such as `engine="onnx"`, `threads=2`.

        Raises:
            ModelFileError: The file is missing, truncated or of another program.
            SettingsError: The device is not on this machine, or not for this engine.
            MissingExtraError: The engine is not installed.
        """
        return cls(open_engine(model, options, **words), tta=tta)

    def __call__(
        self, source: NDArray[np.uint8], progress: Callable[[int, int], None] = _no_progress
    ) -> NDArray[np.uint8]:
        """Translate one image.

        Up to `header.max_untiled_size` px a side it is padded by reflection, run in one piece and cropped
        back; larger ones are run in overlapping tiles that are blended without seams.

        Args:
            source: uint8 (h, w, source_bands).
            progress: Called with tiles done and tiles in all.

        Returns:
            uint8 (h, w, target_bands).

        Raises:
            ImageError: The array has another type, number of bands, or fewer than 16 px a side.
        """
        if max(source.shape, default=0) <= self.header.max_untiled_size and not self.tta:
            (fake,) = self.batch([source])
            progress(1, 1)
            return fake
        return from_unit(self.run(source, progress)[: self.header.generator.target_bands])

    def batch(self, sources: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Translate images of one size together, which uses the processor better than one after the other.

        Args:
            sources: uint8 (h, w, source_bands) each, one size, at most `header.max_untiled_size` px a side.

        Returns:
            uint8 (h, w, target_bands) each. In `eval` mode they are what each would be by itself; in `paper`
            mode they depend on each other.

        Raises:
            ImageError: As in `__call__`.
        """
        for source in sources:
            self._check(source)
        height, width = sources[0].shape[:2]
        assert all(source.shape == sources[0].shape for source in sources)
        assert max(height, width) <= self.header.max_untiled_size
        padded = np.stack([self._padded(source) for source in sources])
        if isinstance(self.network, PictureEngine):
            fakes = self.network.draw(padded)
        else:
            fakes = from_unit(self.network(to_unit(padded))[:, : self.header.generator.target_bands])
        return list(fakes[:, :height, :width])

    def classes(self, source: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the class head's probabilities, float32 (classes, h, w), for an image as in `__call__`.

        Raises:
            ImageError: As in `__call__`.
            ModelFileError: The model has no class head.
            SettingsError: It was opened for pictures only.
        """
        if not self.header.generator.classes:
            raise ModelFileError("this model has no class head: train one with --class-weight 10")
        logits = self.run(source)[self.header.generator.target_bands :]
        if not len(logits):
            raise SettingsError("the model was opened for pictures only: leave pictures=True out")
        odds = np.exp(logits - logits.max(axis=0))
        probabilities: NDArray[np.float32] = odds / odds.sum(axis=0)
        return probabilities

    def run(
        self, source: NDArray[np.uint8], progress: Callable[[int, int], None] = _no_progress
    ) -> NDArray[np.float32]:
        """Return all outputs of the network for an image, float32 (target_bands + classes, h, w)."""
        self._check(source)
        height, width = source.shape[:2]
        if max(height, width) <= self.header.max_untiled_size:
            out = self.network(to_unit(self._padded(source)[None]))[0, :, :height, :width]
            progress(1, 1)
            return out
        total = sum(1 for _ in tiles(self.grid, height, width))
        done = iter(range(1, total + 1))
        return translate_tiled(to_unit(source), self.grid, self.network, lambda: progress(next(done), total))

    def _padded(self, source: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Fill an image up by reflection to sides that the network takes."""
        multiple = self.header.generator.size_divisor
        down, across = (-side % multiple for side in source.shape[:2])
        return np.pad(source, ((0, down), (0, across), (0, 0)), mode="reflect")

    def _check(self, source: NDArray[np.uint8]) -> None:
        bands = self.header.generator.source_bands
        if source.dtype != np.uint8:
            raise ImageError(
                f"the image is {source.dtype}, but this model takes uint8 in 0..255: scale it first"
            )
        if source.ndim != 3 or source.shape[2] != bands:
            raise ImageError(
                f"the image has shape {source.shape}, but this model takes (height, width, {bands})"
            )
        if min(source.shape[:2]) < MIN_SIDE:
            height, width = source.shape[:2]
            raise ImageError(f"the image is {width} x {height} px: it needs {MIN_SIDE} px a side or more")
