"""Label maps: the palette colour nearest to each pixel of a map, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import SettingsError
from sat2map.images.palette.lab import nearest_colours, pack_rgb, unpack_rgb
from sat2map.images.palette.palette import Palette

IGNORED = 255
"""The label of a pixel that counts in no loss and no score."""


class Labeller:
    """Labels pixels by the nearest colour of a palette in CIELAB (Delta E 1976; a tie goes to the first).

    Every colour is compared once and remembered, so labelling a data set costs one look-up per pixel. Threads
    may share a labeller: they fill the table with the same values.
    """

    def __init__(self, palette: Palette) -> None:
        """Prepare an empty table of 2**24 colours.

        Raises:
            SettingsError: The palette has more colours than labels.
        """
        self._colours = palette.colours
        if len(self._colours) > IGNORED:
            raise SettingsError(
                f"palette '{palette.name}' has {len(self._colours)} colours, and label maps hold {IGNORED}",
                hint="merge colours that are alike",
                setting="palette",
            )
        self._table = np.full(1 << 24, IGNORED, np.uint8)

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the indices into `Palette.colours`, uint8 (...), of an image's pixels, uint8 (..., 3)."""
        packed = pack_rgb(rgb)
        labels: NDArray[np.uint8] = self._table[packed]
        new = labels == IGNORED
        if new.any():
            colours = np.unique(packed[new])
            self._table[colours] = nearest_colours(unpack_rgb(colours), self._colours)[0]
            labels = self._table[packed]
        return labels
