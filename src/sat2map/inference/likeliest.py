"""The likeliest output of each pixel: where the network's grid is the map's, and on a finer grid."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sat2map.inference.blending import Block, Likeliest
from sat2map.inference.resample import Neighbours, Resampling
from sat2map.inference.tiling import Area

PIECE: Final = 1 << 16  # px compared at a time: what is kept of them fits the processor's cache


def likeliest(logits: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the number of the largest output at each pixel, the first of equals.

    Args:
        logits: float32 (outputs, h, w).

    Returns:
        uint8 (h, w). It is np.argmax over the first axis, in a quarter of its time.
    """
    _, height, width = logits.shape
    numbers = np.zeros((height, width), np.uint8)
    step = max(1, PIECE // max(1, width))
    for top in range(0, height, step):
        planes, found = logits[:, top : top + step], numbers[top : top + step]
        largest = planes[0].copy()
        larger = np.empty(largest.shape, bool)
        number_if_larger = larger.view(np.uint8)
        for number, plane in enumerate(planes[1:], 1):
            np.greater(plane, largest, out=larger)
            np.multiply(number_if_larger, np.uint8(number), out=number_if_larger)
            np.maximum(found, number_if_larger, out=found)
            np.maximum(largest, plane, out=largest)
    return numbers


def likeliest_on(block: Block, resampling: Resampling, area: Area) -> NDArray[np.uint8]:
    """Return the number of the largest of a block's outputs at each pixel of another grid.

    Where that grid is finer, a pixel lies between four of the network's. If one output is the largest at all
    of them, it is so at any mean of them: only elsewhere, along edges, is there anything to interpolate.

    Args:
        block: The outputs, with the margin that `resampling` asks for.
        resampling: The way to the other grid.
        area: Pixels of the other grid that the block has made possible.

    Returns:
        uint8 (area.height, area.width).
    """
    values = block.values
    assert values is not None
    if block.likeliest is not None:
        return _likeliest_around(values, block.likeliest, block.area, area)
    if not resampling.enlarges or not area.height or not area.width:
        return likeliest(resampling.apply(block, area))
    rows = resampling.rows.neighbours(area.top, area.bottom, block.area.top - block.margin[0])
    columns = resampling.columns.neighbours(area.left, area.right, block.area.left - block.margin[1])
    top, left = int(rows.before[0]), int(columns.before[0])
    values = values[:, top : rows.after[-1] + 1, left : columns.after[-1] + 1]
    numbers = likeliest(values)
    # Cell (y, x) lies between pixels (y, x) and (y + 1, x + 1).
    below, right = _next(numbers, 0), _next(numbers, 1)
    mixed = (numbers != below) | (numbers != right) | (numbers != _next(below, 1))
    found: NDArray[np.uint8] = numbers.take(columns.before - left, axis=1).take(rows.before - top, axis=0)
    _interpolate(values, rows.moved(-top), columns.moved(-left), mixed, found)
    return found


def _likeliest_around(
    values: NDArray[np.float32], known: Likeliest, block: Area, area: Area
) -> NDArray[np.uint8]:
    """Return the numbers of the largest outputs in an area of a block: known ones, and around them others."""
    found = np.empty((area.height, area.width), np.uint8)
    inside = known.area.within(area)

    def put(numbers: NDArray[np.uint8], part: Area) -> None:
        here = part.moved(-area.top, -area.left)
        found[here.rows, here.columns] = numbers

    there = inside.moved(-known.area.top, -known.area.left)
    put(known.numbers[there.rows, there.columns], inside)
    for part in inside.around(area):
        if part.height and part.width:
            there = part.moved(-block.top, -block.left)
            put(likeliest(values[:, there.rows, there.columns]), part)
    return found


def _next(numbers: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """Return each pixel's next one along an axis; the last is its own."""
    last = numbers.shape[axis] - 1
    following: NDArray[np.uint8] = numbers.take(np.minimum(np.arange(last + 1) + 1, last), axis=axis)
    return following


def _interpolate(
    values: NDArray[np.float32],
    rows: Neighbours,
    columns: Neighbours,
    mixed: NDArray[np.bool_],
    found: NDArray[np.uint8],
) -> None:
    """Interpolate in mixed cells as `Resampling.apply` does, and put the numbers of the largest into `found`.

    The pixels of a cell are taken by their places in it: all first ones together, all second ones, and so on.
    """
    outputs, height, width = values.shape
    down, across = _places(rows.before, height), _places(columns.before, width)
    flat = values.reshape(outputs, -1)
    cells = np.flatnonzero(mixed)
    y, x = cells // width, cells % width
    next_row = np.where(y + 1 < height, width, 0)
    next_column = np.where(x + 1 < width, 1, 0)
    corners = [flat.take(cells + step, axis=1) for step in (0, next_column, next_row, next_row + next_column)]
    for column_place in across:
        column = column_place[x]
        weight = columns.weight[column]
        rest = np.float32(1) - weight
        upper = corners[0] * rest + corners[1] * weight
        lower = corners[2] * rest + corners[3] * weight
        lower -= upper
        for row_place in down:
            row = row_place[y]
            there = (row >= 0) & (column >= 0)
            logits = upper + lower * rows.weight[row]
            found[row[there], column[there]] = likeliest(logits[:, None])[0, there]


def _places(before: NDArray[np.int64], length: int) -> list[NDArray[np.int64]]:
    """Return for each place in a cell which pixel lies there, by cell, int64 (length,), or -1."""
    counts = np.bincount(before, minlength=length)
    first = np.cumsum(counts) - counts
    return [np.where(counts > place, first + place, -1) for place in range(int(counts.max()))]
