"""Search for images that show the same ground: pairs that are equal up to a translation.

Points that stand out are described by the low frequencies of the patch around them. Points of two images that
look alike propose a translation; it counts if the images, laid over each other that way, agree everywhere.
Turned, mirrored and rescaled copies are not found. Time grows with the number of image pairs compared, memory
with the number of images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sat2map.images.pixels import resize

SIDE = 128  # longest side of the images compared (px): 5 m of ground a pixel for a 600 m tile
POINTS = 60  # described in an image: enough that a shared tenth of it holds a few
PATCH = 12  # side of the patch described around a point (px)
FREQUENCIES = 6  # cosines a side of the patch, of which those below the diagonal are kept
CONTRAST = 2.0  # grey levels: texture fainter than this fades out, so that noise on water makes no points
ALIKE = 0.93  # correlation of two descriptions that makes them propose a translation
# Mean correlation of blocks: 0.72 and more in true overlaps of aerial tiles, 0.66 in the most alike others.
SAME = 0.7
BLOCKS = 3  # along each side of the shared part
PROPOSALS = 3  # translations tried for two images, those with most points behind them first
BATCH = 128  # images described at once
MIN_SHARE = 0.1  # smallest shared part of the area that counts: less cannot be distinguished from chance


class Overlap(NamedTuple):
    """Two images that share ground.

    Attributes:
        first: Index of the one image.
        second: Index of the other.
        share: Shared part of the area, 0..1.
    """

    first: int
    second: int
    share: float


@dataclass(frozen=True)
class Described:
    """Images ready for comparison.

    Attributes:
        structure: float32 (n, h, w), fine texture with contrast evened out.
        points: int32 (n, POINTS, 2), row and column of the points that stand out.
        patches: float32 (n, POINTS, d), their descriptions, of length 1; zeros where there are fewer points.
    """

    structure: NDArray[np.float32]
    points: NDArray[np.int32]
    patches: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.structure)


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Reduce an image uint8 (h, w, bands) to what is compared: grey (0..255), longest side 128 px."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    small = resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
    return np.asarray(small.mean(axis=2, dtype=np.float32), np.float16)


def describe(thumbnails: Sequence[NDArray[np.float16]]) -> Described:
    """Describe thumbnails of one shape (h, w) for comparison."""
    structure = np.concatenate(
        [_structure(np.stack(thumbnails[i : i + BATCH])) for i in range(0, len(thumbnails), BATCH)]
    )
    points = np.zeros((len(thumbnails), POINTS, 2), np.int32)
    cosines = _cosines()
    patches = np.zeros((len(thumbnails), POINTS, cosines.shape[1]), np.float32)
    for i, image in enumerate(structure):
        found = _stand_out(image)
        points[i, : len(found)] = found
        patches[i, : len(found)] = _describe_points(image, found, cosines)
    return Described(structure, points, patches)


def find_overlaps(first: Described, second: Described) -> Iterator[list[Overlap]]:
    """Yield, for each image of `first` in turn, its overlaps with images of `second` (of the same shape)."""
    flat = second.patches.reshape(-1, second.patches.shape[2]).T
    for i in range(len(first)):
        likeness = (first.patches[i] @ flat).reshape(POINTS, len(second), POINTS)
        best = likeness.max(axis=2)
        mine, image = np.nonzero(best > ALIKE)
        theirs = likeness[mine, image].argmax(axis=1)
        shifts = first.points[i, mine] - second.points[image, theirs]
        order = np.argsort(image, kind="stable")
        candidates, starts = np.unique(image[order], return_index=True)
        found = []
        for j, proposed in zip(candidates, np.split(shifts[order], starts)[1:], strict=True):
            share = _verify(first.structure[i], second.structure[j], proposed)
            if share is not None:
                found.append(Overlap(i, int(j), share))
        yield found


def _structure(thumbnails: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return the fine texture of thumbnails (n, h, w), divided by its local strength."""
    grey = thumbnails.astype(np.float32)
    texture = _blur(grey, 1.0) - _blur(grey, 4.0)
    return np.asarray(texture / (np.sqrt(_blur(texture**2, 4.0)) + CONTRAST), np.float32)


def _blur(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Blur images (n, h, w) by a Gaussian, as two products of large matrices."""
    for _ in range(2):
        length = images.shape[2]
        distance = np.arange(length)[:, None] - np.arange(length)
        weights = np.exp(-0.5 * (distance / sigma) ** 2)
        weights /= weights.sum(axis=0)
        rows = images.reshape(-1, length) @ weights.astype(np.float32)
        images = rows.reshape(images.shape).swapaxes(1, 2)
    return images


def _cosines() -> NDArray[np.float32]:
    """Return the low two-dimensional cosines of a patch, float32 (PATCH², d), the constant left out."""
    frequency = np.arange(FREQUENCIES)
    wave = np.cos(np.pi / PATCH * (np.arange(PATCH)[:, None] + 0.5) * frequency)
    wave *= np.where(frequency == 0, np.sqrt(0.5), 1)
    order = frequency[:, None] + frequency
    waves = np.einsum("yu,xv->yxuv", wave, wave)[:, :, (order > 0) & (order <= FREQUENCIES)]
    return np.asarray(waves.reshape(PATCH * PATCH, -1), np.float32)


def _stand_out(structure: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return row and column of the strongest local extrema that have a whole patch around them, (k, 2)."""
    strength = np.abs(structure)
    peak = (strength == _highest(_highest(strength).T).T) & (strength > 0.5)
    half = PATCH // 2
    inside = np.zeros_like(peak)
    inside[half : 1 - half, half : 1 - half] = True
    places = np.argwhere(peak & inside)
    order = np.argsort(-strength[tuple(places.T)], kind="stable")
    return places[order[:POINTS]]


def _highest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the highest of each value (h, w) and the two above and below it."""
    padded = np.pad(values, ((2, 2), (0, 0)))
    return np.asarray(np.max([padded[i : i + len(values)] for i in range(5)], axis=0), np.float32)


def _describe_points(
    structure: NDArray[np.float32], points: NDArray[np.intp], cosines: NDArray[np.float32]
) -> NDArray[np.float32]:
    if not len(points):
        return np.zeros((0, cosines.shape[1]), np.float32)
    patches = np.lib.stride_tricks.sliding_window_view(structure, (PATCH, PATCH))
    rows, columns = (points - PATCH // 2).T
    coefficients = patches[rows, columns].reshape(len(points), -1) @ cosines
    length = np.linalg.norm(coefficients, axis=1, keepdims=True)
    return np.asarray(coefficients / np.maximum(length, 1e-6), np.float32)


def _verify(
    first: NDArray[np.float32], second: NDArray[np.float32], proposed: NDArray[np.int32]
) -> float | None:
    """Return what the images share at the best of the proposed shifts (k, 2), or None where none holds."""
    near = np.abs(proposed[:, None] - proposed).max(axis=2) <= 2
    votes = near.sum(axis=1)
    best, score = (0, 0), SAME
    for _ in range(PROPOSALS):
        top = int(votes.argmax())
        if votes[top] == 0:
            break
        row, column = (int(value) for value in proposed[top])
        votes = np.where(near[top], 0, votes)
        # The true shift is within a pixel of a good proposal, which costs at most half of the correlation.
        if _share(first, (row, column)) < MIN_SHARE or _agreement(first, second, (row, column), 1) < SAME / 2:
            continue
        around = [(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        shift = max(around, key=lambda place: _agreement(first, second, place, 1))
        agreement = _agreement(first, second, shift, BLOCKS)
        if agreement > score:
            best, score = shift, agreement
    return None if score == SAME else _share(first, best)


def _share(image: NDArray[np.float32], shift: tuple[int, int]) -> float:
    height, width = image.shape
    return float(max(0, 1 - abs(shift[0]) / height) * max(0, 1 - abs(shift[1]) / width))


def _agreement(
    first: NDArray[np.float32], second: NDArray[np.float32], shift: tuple[int, int], blocks: int
) -> float:
    """Return the mean of Pearson's correlations of `blocks` by `blocks` parts of what the two images share.

    Blocks keep a single strong line, such as a bridge, from speaking for the flat water around it.
    """
    height, width = first.shape
    row, column = shift
    a = first[max(row, 0) : height + min(row, 0), max(column, 0) : width + min(column, 0)]
    b = second[max(-row, 0) : height + min(-row, 0), max(-column, 0) : width + min(-column, 0)]
    total = 0.0
    for y in range(blocks):
        rows = slice(y * a.shape[0] // blocks, (y + 1) * a.shape[0] // blocks)
        for x in range(blocks):
            columns = slice(x * a.shape[1] // blocks, (x + 1) * a.shape[1] // blocks)
            total += _correlation(a[rows, columns], b[rows, columns])
    return total / blocks**2


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    if not a.size:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt(np.vdot(a, a) * np.vdot(b, b)))
    return float(np.vdot(a, b)) / norm if norm else 0.0
