"""The limits of each source band over a data set, which a model keeps: all files are then read alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sat2map.data.pairs import Pair
from sat2map.images.levels import Limits, describe_limits, measure_limits
from sat2map.images.pixels import read_image

SAMPLE: Final = 64  # pairs that are measured
PIXELS: Final = 1 << 14  # of each, about


def measure_band_limits(pairs: Sequence[Pair], bands: int) -> tuple[Limits | None, str]:
    """Measure percentiles 2 and 98 of each source band over pairs from all parts of a data set.

    Args:
        pairs: The training pairs, in their order.
        bands: Bands of the sources.

    Returns:
        The limits, and a note; None and "" where the sources hold 8 bits, which are used as they are, or lie
        beside their targets in one file, which holds 8 bits too.

    Raises:
        ImageError: A source cannot be read, or shows no valid pixel.
    """
    samples: list[NDArray[np.generic]] = []

    def collect(
        values: NDArray[np.generic], valid: NDArray[np.bool_] | None, name: Any
    ) -> tuple[Limits, str]:
        step = max(1, int(np.sqrt(values[0].size / PIXELS)))
        there = np.isfinite(values).all(axis=0)
        there &= True if valid is None else valid
        samples.append(values[:, ::step, ::step][:, there[::step, ::step]])
        return ((0.0, 1.0),) * len(values), ""

    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(SAMPLE, len(pairs))).astype(int))
    for i in chosen:
        if pairs[i].target is None:
            return None, ""
        read_image(pairs[i].source, bands=bands, find_limits=collect)
        if not samples:  # the first one tells
            return None, ""
    values = np.concatenate(samples, axis=1)[:, None]
    limits, _ = measure_limits(values, None, "the data set")
    if len(limits) == 1:
        limits *= bands
    note = (
        f"the sources hold {values.dtype}: percentiles 2 and 98 of each band over {len(chosen)} training "
        f"pairs ({describe_limits(limits)}) become black and white, and the model keeps them"
    )
    return limits, note
