"""Ground sample distance of images: how large they are at the model's scale, and what to say about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ImageError, SettingsError
from sat2map.models.header import ModelHeader

if TYPE_CHECKING:
    from sat2map.inference.translator import Translator

MIN_SIDE: Final = 16  # px; below this there is nothing in an image that a map could show
WARN_BEYOND: Final = 1.5  # times the model's gsd; farther off, detail is missing or was thrown away


def scale_factor(header: ModelHeader, gsd: float | None) -> float:
    """Return how many pixels of the model's input make one pixel of an image, along each side.

    Args:
        header: The model's.
        gsd: Metres per pixel of the image; None: unknown. It is then taken to be like the files that the
            model was trained on, which for most models are at the model's own scale.

    Raises:
        SettingsError: `gsd` is not positive, or the model does not know its own.
    """
    if gsd is None:
        return 1 / (header.source_scale or 1.0)
    if not 0 < gsd < float("inf"):
        raise SettingsError(f"gsd = {gsd:g}", hint="metres per pixel are positive", setting="gsd")
    if header.gsd is None:
        raise SettingsError(
            "this model does not know its own ground sample distance", hint="leave gsd out", setting="gsd"
        )
    return gsd / header.gsd


def size_at_model_scale(
    header: ModelHeader, size: tuple[int, ...], gsd: float | None = None
) -> tuple[int, int]:
    """Return the height and width (px) of an image at the model's scale.

    Args:
        header: The model's.
        size: Height and width of the image (px).
        gsd: As in `scale_factor`.

    Raises:
        SettingsError: As in `scale_factor`.
        ImageError: The image is too small, as it is or at the model's scale.
    """
    height, width = size
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"the image is {width} x {height} px: it needs {MIN_SIDE} px a side or more")
    factor = scale_factor(header, gsd)
    scaled = round(height * factor), round(width * factor)
    if min(scaled) < MIN_SIDE:
        raise ImageError(
            f"the image is {width}×{height} px, and only {scaled[1]}×{scaled[0]} px at the model's scale"
        )
    return scaled


def scale_note(header: ModelHeader, gsd: float | None) -> str | None:
    """Return what to say about images of some gsd: that it is assumed, or far from the model's; else None."""
    own = header.gsd
    if own is None:
        return None
    if gsd is None:
        assumed = own * scale_factor(header, None)
        return (
            f"the ground sample distance is unknown, and taken to be {assumed:.2g} m per pixel, that of the "
            "model's training images; if the map looks wrong, the setting 'gsd' takes the true one"
        )
    factor = scale_factor(header, gsd)
    if factor < 1 / WARN_BEYOND:
        return (
            f"the images are {1 / factor:.1f} times finer than the model's {own:g} m per pixel: the network "
            "sees them at its own scale, and finer detail is lost"
        )
    if factor > WARN_BEYOND:
        return (
            f"the images are {factor:.1f} times coarser than the model's {own:g} m per pixel: "
            "they lack detail that it expects, and the map will be poorer"
        )
    return None


class ScaledTranslator:
    """A translator for images of one ground sample distance."""

    def __init__(self, translator: Translator, gsd: float) -> None:
        """Wrap a translator for images of so many metres per pixel.

        Raises:
            SettingsError: As in `scale_factor`.
        """
        self.factor = scale_factor(translator.header, gsd)
        self.header = translator.header
        self.engine = translator.engine
        self._translator = translator
        self._gsd = gsd

    @property
    def warning(self) -> str | None:
        """A sentence where the images' scale is far from the model's, else None."""
        return scale_note(self.header, self._gsd)

    def __call__(
        self, source: NDArray[np.uint8], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> NDArray[np.uint8]:
        """Translate uint8 (h, w, source_bands) to uint8 (h, w, bands) (see `Translator.__call__`)."""
        return self._translator(source, progress, gsd=self._gsd)
