"""From stored numbers of any type to 8 bits: limits that become black and white, measured or given."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sat2map.errors import ImageError, SettingsError
from sat2map.images.bands import Limits

Stretch: TypeAlias = Callable[[NDArray[Any], NDArray[np.bool_] | None, object], tuple[Limits, str]]
"""Returns the limits of a file's bands, and a note or "": such as `measure_limits`."""

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
        limits.append(percentiles(known))
    note = (
        f"{name} holds {values.dtype}: its percentiles 2 and 98 ({text_of(tuple(limits))}) became black and "
        "white; the setting 'scale' sets other limits"
    )
    return tuple(limits), note


def percentiles(known: NDArray[np.float64]) -> tuple[float, float]:
    """Return percentiles 2 and 98 of finite values (n,), the second above the first."""
    # Halved, so that the difference of two of the largest floats is no infinity.
    low, high = (2 * float(v) for v in np.percentile(known / 2, PERCENTILES))
    return low, high if high > low else low + max(1.0, abs(low) * 1e-6)


def text_of(limits: Limits) -> str:
    """Return limits for a message, those that all bands share once."""
    return ", ".join(f"{low:.6g} to {high:.6g}" for low, high in dict.fromkeys(limits))


def given_limits(scale: tuple[float, ...], bands: int) -> Limits:
    """Return the limits of each band that a user gives: one pair for all of them, or one for each.

    Raises:
        SettingsError: They are another number, or run downwards.
    """
    if len(scale) not in (2, 2 * bands):
        raise SettingsError(
            f"the scale has {len(scale)} numbers",
            hint=f"give the lowest and highest value, such as 0,3000, or both for each of the {bands} bands",
            setting="scale",
        )
    pairs = tuple(zip(scale[::2], scale[1::2], strict=True))
    # Written so that NaN is refused as well.
    if not all(-float("inf") < low < high < float("inf") for low, high in pairs):
        raise SettingsError(
            f"the scale is {','.join(f'{v:g}' for v in scale)}",
            hint="each lowest value must be below its highest, and both finite",
            setting="scale",
        )
    return pairs * (bands // len(pairs))


def use_limits(limits: Limits | None) -> Stretch:
    """Return what gives these limits for every file; for None, what measures those of each file."""
    return measure_limits if limits is None else functools.partial(_known, limits)


def _known(
    limits: Limits, values: NDArray[Any], valid: NDArray[np.bool_] | None, name: object
) -> tuple[Limits, str]:
    return limits, ""


def note_of_8_bits(limits: Limits | None, name: object) -> tuple[str, ...]:
    """Return the note on a file of 8 bits, which are used as they are, where a model knows other numbers.

    Args:
        limits: Of the model; None: it knows 8 bits, and there is nothing to note.
        name: What to call the file.
    """
    if limits is None:
        return ()
    return (
        f"{name} holds 8 bits, and the model knows values of {text_of(limits)}: 0 to 255 were taken "
        "for that range; give the file that it was made of if the map looks wrong",
    )


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
