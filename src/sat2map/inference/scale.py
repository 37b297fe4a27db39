"""Owns ground sample distance: bringing an image to the scale that the model was trained at, and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ImageError, SettingsError
from sat2map.images.pixels import resize
from sat2map.inference.translator import MIN_SIDE, Translator

WARN_BEYOND = 1.5  # times the model's own; farther off, detail is missing or was thrown away


class ScaledTranslator:
    """A translator for images of one ground sample distance: resamples, translates, resamples back."""

    def __init__(self, translator: Translator, gsd: float) -> None:
        """Wrap a translator.

        Args:
            translator: The model.
            gsd: Metres a pixel of the images to come.

        Raises:
            SettingsError: It is not positive, or the model does not say its own.
        """
        if gsd <= 0:
            raise SettingsError(f"gsd = {gsd:g}: metres a pixel are positive")
        model = translator.header.gsd
        if model is None:
            raise SettingsError("this model does not know its own ground sample distance: leave --gsd out")
        self._translator = translator
        self.factor = gsd / model
        self.header = translator.header
        self.engine = translator.engine

    @property
    def warning(self) -> str | None:
        """A sentence where the images' scale is far from the model's, else None."""
        if 1 / WARN_BEYOND <= self.factor <= WARN_BEYOND:
            return None
        metres = self.header.gsd
        if self.factor < 1:
            return (
                f"the images are {1 / self.factor:.1f} times finer than the model's {metres:g} m a pixel: "
                "they are brought to it, and what is finer is lost"
            )
        return (
            f"the images are {self.factor:.1f} times coarser than the model's {metres:g} m a pixel: "
            "they lack detail that it expects, and the map will be poorer"
        )

    def __call__(
        self, source: NDArray[np.uint8], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.uint8]:
        """Translate uint8 (h, w, source_bands) to uint8 (h, w, target_bands), as `Translator` does.

        Raises:
            ImageError: As `Translator` does, also where the image is too small at the model's scale.
        """
        height, width = source.shape[:2]
        scaled = tuple(round(side * self.factor) for side in (height, width))
        if min(scaled) < MIN_SIDE:
            raise ImageError(
                f"the image is {width}×{height} px, and only {scaled[1]}×{scaled[0]} px at the model's scale"
            )
        moved = resize(source, *scaled)
        fake = self._translator(moved, progress) if progress else self._translator(moved)
        return resize(fake, height, width)
