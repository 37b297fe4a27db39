"""Whether a map is drawn in the palette's colours, or in mixtures of them as a blurred one is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sat2map.evaluation.metrics.record import MapPair, Metric, has_palette, mean_of_sums
from sat2map.images.palette import Palette
from sat2map.images.palette.lab import pack_rgb, srgb_to_lab, unpack_rgb

# A difference in CIELAB that hardly anybody sees; half land, half road is 1.6 from a building.
MAX_DELTA_E = 1.5


def crispness(image: npt.NDArray[np.uint8], palette: Palette) -> float:
    """Return the share of pixels within `MAX_DELTA_E` (Delta E 1976) of a colour of the palette, 0 to 1.

    Args:
        image: uint8 (h, w, 3).
        palette: The colours.
    """
    colours, counts = np.unique(pack_rgb(image), return_counts=True)
    anchors = srgb_to_lab(np.array([c for one in palette.classes for c in one.colours], np.uint8))
    distances = np.linalg.norm(srgb_to_lab(unpack_rgb(colours))[:, None] - anchors, axis=-1).min(axis=1)
    return float(counts[distances <= MAX_DELTA_E].sum() / counts.sum())


def _measure(pair: MapPair) -> tuple[float, float]:
    assert pair.palette is not None
    known = pair.known(pair.fake)
    return (crispness(known, pair.palette), 1) if known.size else (0.0, 0.0)


METRICS = (
    Metric(
        "crispness",
        "crispness",
        f"share of pixels within Delta E {MAX_DELTA_E} of a colour of the palette, 0 to 1",
        "How each map looks",
        measure=_measure,
        score=mean_of_sums,
        applies_to=has_palette,
    ),
)
