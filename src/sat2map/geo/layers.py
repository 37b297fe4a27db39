"""The rasters that a job writes: what each holds, its mask or nodata value, and its tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sat2map.images.masks import MaskKind
from sat2map.images.palette import Palette

SideLayer = Literal["classes", "confidence", "probabilities"]
NODATA = 255  # in layers of our own making: class numbers and percents stay below it


@dataclass(frozen=True)
class Layer:
    """One raster to write, uint8.

    Attributes:
        name: `map`, `classes`, `confidence` or `probabilities`.
        path: Where to.
        bands: How many, an alpha band not counted.
        mask_kind: How the file marks missing pixels.
        nodata: Their value, where a value tells it.
        blend: Whether values between two pixels' mean anything: not for class numbers.
        palette: Whose colours class numbers are shown in.
        descriptions: What each band holds, where that is not a colour.
        tags: What the file says of itself.
    """

    name: str
    path: Path
    bands: int
    mask_kind: MaskKind
    nodata: int | None = None
    blend: bool = True
    palette: Palette | None = None
    descriptions: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    def masked(self, pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the bands as they are stored: the mask written into them, or put behind them.

        Args:
            pixels: uint8 (bands, h, w); changed in place.
            mask: uint8 (h, w), 0 where there is nothing.
        """
        if self.nodata is None:
            pixels[:, mask == 0] = 0
            return pixels if self.mask_kind == "none" else np.concatenate([pixels, mask[None]])
        # A pixel that is there must not look like one that is not: it moves by one level.
        pixels[(pixels == self.nodata) & (mask > 0)] = self.nodata + (1 if self.nodata < 255 else -1)
        pixels[:, mask == 0] = self.nodata
        return pixels


def map_layer(
    path: Path, bands: int, mask_kind: MaskKind, nodata: float | None, tags: Mapping[str, str]
) -> Layer:
    """Return the layer of the map itself, which tells what is missing the way its source does.

    A nodata value that 8 bits cannot hold (-9999, NaN) becomes 0.
    """
    if mask_kind != "nodata":
        return Layer("map", path, bands, mask_kind, tags=tags)
    fits = nodata is not None and float(nodata).is_integer() and 0 <= nodata <= 255
    return Layer("map", path, bands, mask_kind, int(nodata) if fits and nodata is not None else 0, tags=tags)


def side_layer(
    name: SideLayer,
    path: Path,
    tags: Mapping[str, str],
    *,
    palette: Palette | None = None,
    descriptions: tuple[str, ...] = (),
) -> Layer:
    """Return the layer of class numbers, of confidence, or of the probability of each class, in percent."""
    bands = max(1, len(descriptions))
    return Layer(name, path, bands, "nodata", NODATA, name != "classes", palette, descriptions, tags)
