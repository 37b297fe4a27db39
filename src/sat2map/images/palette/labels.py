"""Label maps: the palette colour nearest to each pixel of a map, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import SettingsError
from sat2map.images.palette.lab import pack_rgb, srgb_to_lab, unpack_rgb
from sat2map.images.palette.palette import Palette

IGNORED = 255
"""The label of a pixel that counts in no loss and no score."""

_CHUNK = 1 << 16  # colours compared at once


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
        self._anchors = srgb_to_lab(palette.colours)
        if len(self._anchors) > IGNORED:
            raise SettingsError(
                f"palette '{palette.name}' has {len(self._anchors)} colours, and label maps hold {IGNORED}",
                hint="merge colours that are alike",
                setting="palette",
            )
        self._table = np.full(1 << 24, IGNORED, np.uint8)

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label an image.

        Args:
            rgb: uint8 (..., 3).

        Returns:
            Indices into `Palette.colours`, uint8 (...).
        """
        packed = pack_rgb(rgb)
        labels: NDArray[np.uint8] = self._table[packed]
        new = labels == IGNORED
        if new.any():
            colours = np.unique(packed[new])
            for start in range(0, len(colours), _CHUNK):
                part = colours[start : start + _CHUNK]
                self._table[part] = self._nearest(unpack_rgb(part))
            labels = self._table[packed]
        return labels

    def _nearest(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        lab = srgb_to_lab(rgb)
        squared = np.stack([((lab - anchor) ** 2).sum(axis=-1) for anchor in self._anchors])
        nearest: NDArray[np.uint8] = squared.argmin(axis=0).astype(np.uint8)
        return nearest
