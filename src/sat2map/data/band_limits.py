"""The limits of each source band over a data set, which a model keeps: all files are then read alike."""

from __future__ import annotations

from collections.abc import Sequence

from sat2map.data.pairs import Pair
from sat2map.errors import DataError
from sat2map.images.bands import Limits
from sat2map.images.levels import text_of
from sat2map.images.pixels import read_image
from sat2map.images.shared_limits import SharedLimits, evenly


def measure_band_limits(pairs: Sequence[Pair], bands: int) -> tuple[Limits | None, str]:
    """Measure percentiles 2 and 98 of each source band over pairs from all parts of a data set.

    Args:
        pairs: The training pairs, in their order.
        bands: Bands of the sources.

    Returns:
        The limits, and a note; None and "" where the first source holds 8 bits, which are used as they are,
        or lies beside its target in one file, which holds 8 bits too.

    Raises:
        DataError: The sources hold numbers of several types.
        ImageError: A source cannot be read, or shows no valid pixel.
    """
    shared, chosen = SharedLimits(), evenly(pairs)
    for pair in chosen:
        if pair.target is None:
            return None, ""
        if not read_image(pair.source, bands=bands, stretch=shared.add).stretched and pair is chosen[0]:
            return None, ""
    found = shared.all()
    if len(found) > 1:
        raise DataError(
            "the sources hold numbers of several types, whose limits cannot be the same",
            hint="save them all as one type, such as uint16",
        )
    limits = found[0] * (bands // len(found[0]))
    note = (
        f"the sources hold more than 8 bits: percentiles 2 and 98 of each band over {len(chosen)} training "
        f"pairs ({text_of(limits)}) become black and white, and the model keeps them"
    )
    return limits, note
