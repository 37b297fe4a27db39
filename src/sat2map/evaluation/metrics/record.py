"""What a metric is: a record with its name and meaning, how it measures a map, and how it scores a data set.

A new metric is a record in `METRICS` of one file of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sat2map.images.palette import Palette

Image = npt.NDArray[np.uint8]
Sums = npt.NDArray[np.float64]
# In the order in which they are worth reading.
Part = Literal[
    "What the map shows", "Each class", "How the set looks", "How each map looks", "Pixel by pixel"
]


@dataclass(frozen=True)
class MapPair:
    """A generated map and the real one, with what several metrics need of them.

    Attributes:
        fake: uint8 (h, w, bands).
        target: uint8 (h, w, bands).
        palette: Colours and classes, or None.
        ignored: bool (h, w), the pixels whose truth is unknown; None: there are none.
    """

    fake: Image
    target: Image
    palette: Palette | None = None
    ignored: npt.NDArray[np.bool_] | None = None

    def known(self, image: Image) -> Image:
        """Return the pixels of one of the images that are not ignored, uint8 (1, n, bands), or all of it."""
        return image if self.ignored is None else image[~self.ignored][None]

    def counted(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return a mask, bool (h, w), without the ignored pixels."""
        return mask if self.ignored is None else mask & ~self.ignored

    def masks(self, name: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return where fake and target have a class, bool (h, w) each, without the ignored pixels."""
        assert self.palette is not None
        number = self.palette.index(name)
        return self.counted(self.fake_classes == number), self.counted(self.target_classes == number)

    @cached_property
    def fake_classes(self) -> Image:
        """Class numbers of the generated map, uint8 (h, w)."""
        assert self.palette is not None
        return self.palette.classify(self.fake)

    @cached_property
    def target_classes(self) -> Image:
        """Class numbers of the real map, uint8 (h, w)."""
        assert self.palette is not None
        return self.palette.classify(self.target)


@dataclass(frozen=True)
class ScoreInfo:
    """How a score is shown.

    Attributes:
        name: Its key in JSON files.
        label: Its name for people.
        meaning: What it is, with its range and unit.
        part: The part of a table that it belongs to.
        unit: Appended to its value.
        digits: Decimal places that are shown.
        higher_is_better: Its direction.
    """

    name: str
    label: str
    meaning: str
    part: Part
    unit: str = ""
    digits: int = 3
    higher_is_better: bool = True


@dataclass(frozen=True)
class Metric(ScoreInfo):
    """A score of maps: numbers that add up over images, and a function of their sums.

    So the sums of groups of images can be drawn again for a bootstrap interval.

    Attributes:
        measure: The numbers of one map, always as many.
        score: The score of summed numbers, float64 (n,); NaN where it is undefined (0/0).
        applies_to: Whether a palette has what the metric needs; None stands for no palette.
    """

    measure: Callable[[MapPair], Sequence[float] | Sums] = lambda pair: ()
    score: Callable[[Sums], float] = lambda sums: float("nan")
    applies_to: Callable[[Palette | None], bool] = lambda palette: True


def mean_metric(
    name: str, label: str, meaning: str, function: Callable[[Image, Image], float], **shown: Any
) -> Metric:
    """Return the metric that is the mean over images of a function of map and target, uint8 (h, w, bands).

    Where a pixel lies must not matter: the function is given those that are not ignored, in one row. The
    other arguments are fields of `ScoreInfo`.
    """

    def measure(pair: MapPair) -> tuple[float, float]:
        fake, target = pair.known(pair.fake), pair.known(pair.target)
        return (function(fake, target), 1) if fake.size else (0.0, 0.0)

    return Metric(name, label, meaning, "Pixel by pixel", measure=measure, score=mean_of_sums, **shown)


def mean_of_sums(sums: Sums) -> float:
    """Return the mean of what was added up, from its sum and how often; NaN where that is never."""
    return float(sums[0] / sums[1]) if sums[1] else float("nan")


def has_palette(palette: Palette | None) -> bool:
    """Return whether there is a palette."""
    return palette is not None


def has_class(name: str) -> Callable[[Palette | None], bool]:
    """Return a function that tells whether a palette has the class `name`."""
    return lambda palette: palette is not None and name in palette.names
