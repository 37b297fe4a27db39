"""From stored numbers of any type to 8 bits: limits that become black and white, measured or given."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sat2map.errors import ImageError

Limits = tuple[tuple[float, float], ...]
"""Lowest and highest value of each band, which become 0 and 255."""

PERCENTILES: Final = (2.0, 98.0)


def reject_complex(dtype: DTypeLike | str, name: object) -> None:
    """Refuse complex numbers, which are no brightness.

    Args:
        dtype: As numpy or rasterio calls it; rasterio knows `complex_int16`, numpy does not.
        name: What to call the file.

    Raises:
        ImageError: They are complex.
    """
    if str(dtype).startswith("complex"):
        raise ImageError(f"{name} holds complex numbers", hint="export its amplitude, and use that")


def lab_error(name: object) -> ImageError:
    """Return the error for L*a*b* colours: programs write them in ways that differ, and readers disagree."""
    return ImageError(f"{name} has L*a*b* colours", hint="convert it to RGB first")


def measure_limits(
    values: NDArray[np.generic], valid: NDArray[np.bool_] | None, name: object
) -> tuple[Limits, str]:
    """Measure percentiles 2 and 98 of each band.

    Args:
        values: (bands, h, w), a sample of the image, of any real type.
        valid: bool (h, w) or (bands, h, w), or None where all pixels count; NaN and infinity never do.
        name: What to call the file.

    Returns:
        The limits, and a note for the user.

    Raises:
        ImageError: A band has no valid pixel in the sample.
    """
    limits = []
    for number, band in enumerate(values):
        there = np.isfinite(band)
        if valid is not None:
            there &= valid if valid.ndim == 2 else valid[number]
        known = band[there].astype(np.float64)
        if not known.size:
            raise ImageError(
                f"{name} shows no valid pixel in a reduced copy of its band {number + 1}",
                hint="give the lowest and the highest value",
                setting="scale",
            )
        # Halved, so that the difference of two of the largest floats is no infinity.
        low, high = (2 * float(v) for v in np.percentile(known / 2, PERCENTILES))
        if not high > low:
            high = low + max(1.0, abs(low) * 1e-6)
        limits.append((low, high))
    text = ", ".join(f"{low:.6g} to {high:.6g}" for low, high in dict.fromkeys(limits))
    note = (
        f"{name} holds {values.dtype}: its percentiles 2 and 98 ({text}) became black and white; "
        "the setting 'scale' sets other limits"
    )
    return tuple(limits), note


def to_8_bits(values: NDArray[np.generic], limits: Limits) -> NDArray[np.uint8]:
    """Map the limits of each band to 0 and 255, and what lies beyond to the nearer one; NaN becomes 0.

    The values are (bands, h, w) of any real type.
    """
    out = np.empty(values.shape, np.uint8)
    # float32 holds 24 bits: enough for 16-bit numbers, not for 32-bit integers, nor beyond 3e38.
    small = values.dtype == np.float32 and max(abs(v) for pair in limits for v in pair) < 1e30
    dtype = np.dtype(np.float32 if small or values.dtype.itemsize <= 2 else np.float64).type
    for band, (low, high) in enumerate(limits):
        # Halves, as the difference of two of the largest floats is infinite.
        half = dtype(high / 2 - low / 2)
        levels = values[band].astype(dtype)
        levels *= dtype(0.5)
        levels -= dtype(low / 2)
        with np.errstate(over="ignore"):
            levels /= half
        np.nan_to_num(levels, copy=False, nan=0.0)
        np.clip(levels, 0, 1, out=levels)
        levels *= dtype(255)
        out[band] = np.rint(levels, out=levels)
    return out
