"""Which pixels of a raster are valid: one mask, of alpha, nodata, mask band and NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

MaskKind = Literal["none", "nodata", "alpha", "mask"]
"""How a file says which pixels are valid, as GDAL calls it; `none`: all are."""

SAMPLE: Final = 1024  # px; side of the reduced copy that an alpha band is judged by
_MIN_BINARY: Final = 0.5  # share of an alpha band that is 0 or full; less of it, and it is a measurement


@dataclass(frozen=True)
class PixelMask:
    """How to read the mask of a raster's bands.

    Attributes:
        kind: How the file says which pixels are valid; a map of it says so the same way.
        bands: The bands that are read, from 1.
        nodata: The nodata value of each of them, or None.
        alpha: Number of the alpha band, or None.
        opaque: The value of that band that is opaque: 1, 255 or 65535.
        stored: Whether there is a mask band, inside the file or beside it (.msk).
        notes: What a user should know.
    """

    kind: MaskKind
    bands: tuple[int, ...]
    nodata: tuple[float | None, ...]
    alpha: int | None = None
    opaque: float = 255
    stored: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Any, bands: Sequence[int], name: object) -> PixelMask:
        """Find out how a rasterio dataset says which pixels are valid.

        Args:
            dataset: Open for reading; a reduced copy of its alpha band is read.
            bands: The bands that will be read, from 1.
            name: What to call it.
        """
        nodata = tuple(dataset.nodatavals[band - 1] for band in bands)
        names = [interp.name for interp in dataset.colorinterp]
        alpha = names.index("alpha") + 1 if "alpha" in names else None
        alpha = None if alpha in bands else alpha
        opaque = None if alpha is None else _opaque_value(dataset, alpha)
        notes: list[str] = []
        if alpha is not None and opaque is None:
            notes.append(
                f"band {alpha} of {name} is marked as alpha, but holds measurements (perhaps near infrared): "
                "it is not taken for a mask"
            )
            alpha = None
        stored = has_mask_band(dataset, bands[0])
        kind: MaskKind = "alpha" if alpha is not None else "mask" if stored else "none"
        floats = any(np.dtype(dataset.dtypes[band - 1]).kind == "f" for band in bands)  # they may be NaN
        if kind == "none" and (floats or any(value is not None for value in nodata)):
            kind = "nodata"
        return cls(kind, tuple(bands), nodata, alpha, opaque or 255, stored, tuple(notes))

    def read(
        self,
        dataset: Any,
        values: NDArray[np.generic] | None = None,
        alpha: NDArray[np.generic] | None = None,
        **window: Any,
    ) -> NDArray[np.uint8]:
        """Read the mask, uint8 (h, w): 0 where a pixel is invalid, else 255, or its alpha.

        Args:
            dataset: The dataset, or a WarpedVRT of it.
            values: The bands, (bands, h, w), where they have been read already.
            alpha: The alpha band, (h, w), likewise.
            window: `window` and `out_shape` of rasterio's `read`.
        """
        if values is None and self.kind != "none":
            shape = window.get("out_shape")
            more = {} if shape is None else {"out_shape": (len(self.bands), *shape[-2:])}
            values = dataset.read(self.bands, **{**window, **more})
        mask = self._of_values(values) if values is not None else None
        if self.stored:
            mask = _both(mask, dataset.read_masks(self.bands[0], **window))
        if self.alpha is not None:
            mask = _both(mask, self._as_bytes(dataset.read(self.alpha, **window) if alpha is None else alpha))
        if mask is None:
            shape = window.get("out_shape") or (
                (int(window["window"].height), int(window["window"].width))
                if window.get("window")
                else dataset.shape
            )
            mask = np.full(shape[-2:], 255, np.uint8)
        return mask

    def _of_values(self, values: NDArray[np.generic]) -> NDArray[np.uint8] | None:
        """Return where a band differs from its nodata value, as GDAL does, and none is NaN."""
        floats = values.dtype.kind == "f"
        if not floats and all(value is None for value in self.nodata):
            return None
        valid = np.zeros(values.shape[1:], bool)
        for band, nodata in zip(values, self.nodata, strict=True):
            if nodata is None or np.isnan(nodata):
                valid[...] = True
                break
            valid |= band != _as_stored(nodata, values.dtype)
        if floats:
            valid &= np.isfinite(values).all(axis=0)
        return np.where(valid, np.uint8(255), np.uint8(0))

    def _as_bytes(self, alpha: NDArray[Any]) -> NDArray[np.uint8]:
        if alpha.dtype == np.uint8 and self.opaque == 255:
            return alpha
        values = np.nan_to_num(alpha.astype(np.float32), nan=0.0)
        levels = np.clip(np.rint(values * np.float32(255 / self.opaque)), 0, 255)
        levels[(levels == 0) & (values > 0)] = 1  # nearly transparent is there
        mask: NDArray[np.uint8] = levels.astype(np.uint8)
        return mask


def has_mask_band(dataset: Any, band: int = 1) -> bool:
    """Whether a rasterio dataset has a mask of its own, inside the file or beside it (.msk)."""
    flags = {flag.name for flag in dataset.mask_flag_enums[band - 1]}
    return "per_dataset" in flags and "alpha" not in flags


def reduced_shape(dataset: Any, side: int) -> tuple[int, int]:
    """Return the height and width of a copy of a rasterio dataset with at most `side` px a side."""
    shrink = max(1.0, max(dataset.shape) / side)
    return max(1, round(dataset.height / shrink)), max(1, round(dataset.width / shrink))


def _both(first: NDArray[np.uint8] | None, second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return second if first is None else np.minimum(first, second)


def _as_stored(nodata: float, dtype: np.dtype[Any]) -> float:
    """Return a nodata value as a float32 band stores it: GDAL keeps -3.4028234663852886e+38 in 64 bits."""
    with np.errstate(over="ignore"):
        return float(np.float32(nodata)) if dtype == np.float32 else nodata


def _opaque_value(dataset: Any, alpha: int) -> float | None:
    """Return the value of an alpha band that means opaque, or None where it holds measurements.

    GDAL writes 255 into 16-bit and float bands as well, other programs the largest number, or 1.
    """
    sample = np.nan_to_num(
        dataset.read(alpha, out_shape=reduced_shape(dataset, SAMPLE)).astype(np.float32), nan=0.0
    )
    largest = float(sample.max())
    if np.dtype(dataset.dtypes[alpha - 1]) == np.uint8:
        return 255.0 if np.isin(sample, (0, 255)).mean() >= _MIN_BINARY else None
    full = 1.0 if largest <= 1 else 255.0 if largest <= 255 else max(largest, 65535.0)
    return full if np.isin(sample, (0, largest)).mean() >= _MIN_BINARY else None
