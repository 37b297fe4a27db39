"""The images that exports are checked and calibrated on: the user's own, or synthetic towns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sat2map.data.pairs import find_pairs
from sat2map.data.read_pair import read_pair
from sat2map.errors import DataError
from sat2map.images.inputs import expand_input
from sat2map.images.levels import use_limits
from sat2map.images.pixels import IMAGE_SUFFIXES, read_image, resize, with_bands
from sat2map.images.shared_limits import evenly
from sat2map.models.model_file import ModelHeader
from sat2map.synthetic.towns import draw_town

Pixels = NDArray[np.uint8]

CALIBRATION: Final = 64  # more changes nothing that could be measured
CHECKED: Final = 12
FEWEST: Final = 8  # to calibrate on
FIRST_SEED: Final = 9_000_000  # of the drawn towns: none that a training set of ours holds


@dataclass(frozen=True)
class Pictures:
    """Pictures to check an export on and, apart from these, pictures to calibrate it on.

    Attributes:
        checked: uint8 (h, w, source_bands) each, of several sizes, all multiples of what the network takes.
        calibration: The same, of one size; empty where nothing is calibrated.
        origin: Where they come from, in words.
    """

    checked: list[Pixels]
    calibration: list[Pixels]
    origin: str


def find_pictures(
    images: Sequence[str | Path], pairs: Path | None, header: ModelHeader, *, calibrate: bool
) -> Pictures:
    """Read the user's images, or those of the pairs, or draw towns.

    Args:
        images: Files, folders and globs.
        pairs: Pairs whose sources are taken where no images are named: to check on from the validation split,
            to calibrate on from the training split; resized to what the model was trained for.
        header: Of the model.
        calibrate: Whether calibration pictures are needed too.

    Raises:
        ImageError: Something named does not exist, or cannot be read.
        DataError: The images are too few to calibrate on.
    """
    side = _multiple_near(header.typical_size, header)
    if not images and pairs is not None:
        return _from_pairs(pairs, side, header, calibrate=calibrate)
    if not images:
        count = CALIBRATION if calibrate else 0
        drawn = [_draw(FIRST_SEED + i, side, header) for i in range(count)]
        checked = [_draw(FIRST_SEED + CALIBRATION + i, side, header) for i in range(4)]
        return Pictures(_in_sizes(checked, header), drawn, "drawn towns")
    paths = [
        Path(name) for text in images for name in expand_input(str(text), _is_image, "images", recursive=True)
    ]
    if calibrate:
        _check_enough(len(paths))
    # Every so many, as a folder may be sorted by place. What is checked is not calibrated on.
    held_out = max(1, len(paths) // 4)
    chosen = evenly(paths, min(held_out, CHECKED))
    rest = [path for path in paths if path not in chosen]
    for_calibration = evenly(rest, CALIBRATION) if calibrate else []
    checked = [_read(path, header) for path in chosen]
    calibration = [_cut(_read(path, header), side, side) for path in for_calibration]
    return Pictures(_in_sizes(checked, header), calibration, f"{len(paths)} images")


def _from_pairs(pairs: Path, side: int, header: ModelHeader, *, calibrate: bool) -> Pictures:
    splits = find_pairs(pairs)
    bands = header.generator.source_bands, header.generator.target_bands
    on_disk = bands if header.direction == "source-to-target" else bands[::-1]

    def sources(split: str, count: int) -> list[Pixels]:
        chosen = evenly(splits[split], count)
        found = (read_pair(pair, header.direction, on_disk, header.limits)[0] for pair in chosen)
        return [resize(source, side, side) for source in found]

    if calibrate:
        _check_enough(len(splits["train"]))
    checked, calibration = sources("val", CHECKED), sources("train", CALIBRATION) if calibrate else []
    return Pictures(_in_sizes(checked, header), calibration, f"from {pairs}")


def _check_enough(count: int) -> None:
    if count < FEWEST:
        raise DataError(
            f"{count} images are too few to calibrate int8 on: name at least {FEWEST}, of all kinds of "
            f"ground that the model will see (from {CALIBRATION} on, more make no difference)"
        )


def _in_sizes(pictures: list[Pixels], header: ModelHeader) -> list[Pixels]:
    """Cut pictures to several sizes in turn: square, lying, standing."""
    side = _multiple_near(min(128, header.typical_size), header)
    sizes = ((side, side), (side, 2 * side), (2 * side, side))
    return [_cut(picture, *sizes[i % len(sizes)]) for i, picture in enumerate(pictures)]


def _multiple_near(side: int, header: ModelHeader) -> int:
    multiple = header.generator.size_divisor
    return max(multiple, side // multiple * multiple)


def _cut(picture: Pixels, height: int, width: int) -> Pixels:
    """Cut the middle out, or fill up by reflection."""
    picture = np.pad(
        picture,
        ((0, max(0, height - picture.shape[0])), (0, max(0, width - picture.shape[1])), (0, 0)),
        mode="symmetric",
    )
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def _draw(seed: int, side: int, header: ModelHeader) -> Pixels:
    town = draw_town(seed, size=max(16, side))
    picture = town.source if header.direction == "source-to-target" else town.target
    return picture[..., np.arange(header.generator.source_bands) % 3]


def _read(path: Path, header: ModelHeader) -> Pixels:
    bands = header.generator.source_bands
    picture = read_image(path, bands=bands, stretch=use_limits(header.limits))
    return with_bands(picture.pixels, bands, path)


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES
