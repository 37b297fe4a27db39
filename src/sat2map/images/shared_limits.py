"""One stretch for the files of a job: limits measured on several of them together."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import Sat2MapError
from sat2map.images.bands import Limits
from sat2map.images.levels import measure_limits, percentiles, text_of
from sat2map.images.read import has_deep_samples, read_image

T = TypeVar("T")

FILES: Final = 64  # of a job that are measured, evenly spread over it: enough for percentiles
FEW_LEVELS: Final = 8
_PIXELS: Final = 1 << 15  # of each of them and each band


class SharedLimits:
    """Percentiles 2 and 98 of several files together: neighbouring images are then stretched alike.

    Files of each type and number of bands share theirs. `add` and the object itself are a `Stretch`: with the
    first a few files are measured, with the second all are read.
    """

    def __init__(self) -> None:
        self._samples: dict[tuple[str, int], list[NDArray[Any]]] = {}
        self._limits: dict[tuple[str, int], Limits] = {}
        self._own: dict[tuple[str, int], list[tuple[object, Limits]]] = {}

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_] | None, name: object) -> tuple[Limits, str]:
        """Take the pixels of a file into account; arguments and errors are those of `measure_limits`."""
        limits, _ = measure_limits(values, valid, name)
        step = -(-values[0].size // _PIXELS)
        known = np.isfinite(values)
        if valid is not None:
            known &= valid
        # Each file weighs by its share of valid pixels; NaN marks the others.
        sample = values.reshape(len(values), -1)[:, ::step].astype(np.float64)
        sample[~known.reshape(len(values), -1)[:, ::step]] = np.nan
        self._samples.setdefault(_key(values), []).append(sample)
        self._own.setdefault(_key(values), []).append((name, limits))
        return limits, ""

    def __call__(
        self, values: NDArray[Any], valid: NDArray[np.bool_] | None, name: object
    ) -> tuple[Limits, str]:
        """Return the limits that files like this one share, or its own where none was measured."""
        key = _key(values)
        return (self._shared(key), "") if key in self._samples else measure_limits(values, valid, name)

    def all(self) -> list[Limits]:
        """Return the limits of each type of files that were measured."""
        return [self._shared(key) for key in self._samples]

    def _shared(self, key: tuple[str, int]) -> Limits:
        if len(own := self._own[key]) == 1:
            return own[0][1]  # a job of one file draws what the file alone would
        if key not in self._limits:
            samples = np.concatenate(self._samples[key], axis=1)
            self._limits[key] = tuple(percentiles(band[~np.isnan(band)]) for band in samples)
        return self._limits[key]

    def notes(self, files: int) -> list[str]:
        """Return what a user should know before the work.

        Args:
            files: How many there are in all.
        """
        found = []
        for key, samples in self._samples.items():
            limits = self._shared(key)
            of = f" of the {files}" if files > FILES else ""
            who = f"{len(samples)}{of} inputs hold" if len(samples) > 1 else "1 input holds"
            found.append(
                f"{who} {key[0]}: percentiles 2 and 98 of all of it ({text_of(limits)}) became black and "
                "white in each; the setting 'scale' sets other limits"
            )
            flat = [name for name, own in self._own[key] if _levels(own, limits) < FEW_LEVELS]
            if flat:
                others = f" and {len(flat) - 1} others" if len(flat) > 1 else ""
                found.append(
                    f"{flat[0]}{others} would show fewer than {FEW_LEVELS} grey levels of it: "
                    "if it is not of the same survey, translate it by itself"
                )
        return found


def _levels(own: Limits, shared: Limits) -> float:
    """Return how many grey levels there are between a file's own limits, of 255, in its best band."""
    pairs = zip(own, shared, strict=True)
    # Halved, as the difference of two of the largest floats is infinite.
    return max(255 * ((high / 2 - low / 2) / (last / 2 - first / 2)) for (low, high), (first, last) in pairs)


def _key(values: NDArray[Any]) -> tuple[str, int]:
    return str(values.dtype), len(values)


def evenly(items: Sequence[T], count: int = FILES) -> list[T]:
    """Return so many items, or all if they are fewer: the first and the last, and some between."""
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, min(count, len(items)))]


def measure_shared_limits(
    paths: Sequence[Path], *, page: int | None = None, bands: int = 3
) -> tuple[SharedLimits, list[Path]]:
    """Measure one stretch for image files, of those with samples of more than 8 bits.

    Args:
        paths: The files; what cannot be read is left out, and reported in its turn.
        page: As in `read_image`.
        bands: As in `read_image`.

    Returns:
        The stretch, and the files that it is for.
    """
    deep = []
    for path in paths:
        with contextlib.suppress(Sat2MapError):
            deep += [path] if has_deep_samples(path) else []
    shared = SharedLimits()
    for path in evenly(deep):
        with contextlib.suppress(Sat2MapError):
            read_image(path, page=page, bands=bands, stretch=shared.add)
    return shared, deep
