"""Running a network over the tiles of a large image, and blending their outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sat2map.inference.tiling import Area, Grid, Span

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Cut = Callable[[Span, Span], "NDArray[np.float32] | None"]


RunInside = Callable[[NDArray[np.float32], Area], "tuple[NDArray[np.float32], NDArray[np.uint8] | None]"]


class Likeliest(NamedTuple):
    """Numbers of the largest outputs in a rectangle, where nothing is blended.

    Attributes:
        area: The rectangle.
        numbers: uint8 (area.height, area.width).
    """

    area: Area
    numbers: NDArray[np.uint8]


class Block(NamedTuple):
    """Finished outputs of a rectangle of a large image.

    Attributes:
        area: The rectangle.
        margin: Rows above and columns left of it that `values` has in addition: those of its neighbours.
        values: float32 (outputs, margin[0] + height, margin[1] + width); None where there was no tile to run.
        likeliest: What is known where `values` is undefined; None where it is defined everywhere.
    """

    area: Area
    margin: tuple[int, int]
    values: NDArray[np.float32] | None
    likeliest: Likeliest | None = None


@lru_cache(maxsize=8)
def ramp(overlap: int) -> NDArray[np.float32]:
    """Return the weights with which a tile fades in, float32 (overlap,): half of a Hann window.

    Reversed, they are those with which its neighbour fades out: the two add up to 1.
    """
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(overlap) + 0.5) / max(overlap, 1))).astype(np.float32)


def fade(span: Span, overlap: int) -> NDArray[np.float32]:
    """Return a tile's weights along an axis, float32 (last + fade - first,)."""
    weights = np.ones(span.last + span.fade - span.first, np.float32)
    if span.first > 0:
        weights[:overlap] = ramp(overlap)
    if span.fade:
        weights[-span.fade :] = ramp(span.fade)[::-1]
    return weights


def blended_blocks(
    grid: Grid,
    size: tuple[int, int],
    cut: Cut,
    run: Run,
    area: Area | None = None,
    *,
    margin: int = 0,
    run_inside: RunInside | None = None,
) -> Iterator[Block]:
    """Run a network over an image of any size, and yield the blended outputs block by block.

    Blocks come row by row, one for each tile, and cover the area without overlap. Two tiles are in memory,
    one that is blended and one that the network runs on meanwhile, with the rims that tiles share with their
    neighbours: outputs of `overlap` rows over the whole width. Tiles lie on the grid whichever area is asked
    for, so an area's values are those of the whole image there.

    Args:
        grid: Where the tiles lie.
        size: Height and width of the image (px).
        cut: Gives the tile at (rows, columns), float32 (bands, h, w), or None for one with nothing in it.
            Called row by row, one tile before the one whose block is yielded.
        run: The network on a batch, float32 (1, bands, h, w) → (1, outputs, h, w). Called in a thread.
        area: The part of the image that is wanted; None: all.
        margin: Rows and columns of the blocks above and to the left that each block has in addition.
        run_inside: Used instead of `run`, without a margin, where only the likeliest outputs are wanted (see
            `ColourBackend.likeliest_inside`).
    """
    assert run_inside is None or not margin
    area = area or Area(0, 0, *size)
    rim: NDArray[np.float32] | None = None  # (outputs, margin + overlap, area.width): left by the row above
    begun = 0  # rows of it that the row above has begun to blend
    all_rows = grid.within(area.top, area.bottom, size[0])
    all_columns = grid.within(area.left, area.right, size[1])
    outputs = _run_ahead(grid, product(all_rows, all_columns), cut, run, run_inside)
    for rows in all_rows:
        top, bottom = max(rows.first, area.top), min(rows.last, area.bottom)
        end = min(rows.last + rows.fade, area.bottom)
        begun_at_left: NDArray[np.float32] | None = None  # columns that the tile at the left has begun
        beside: NDArray[np.float32] | None = None  # the last finished columns at the left
        for columns in all_columns:
            left, right = max(columns.first, area.left), min(columns.last, area.right)
            block = Area(top, left, bottom, right)
            used = Area(top, left, end, min(columns.last + columns.fade, area.right))
            out, known = next(outputs)
            part = None if out is None else _weighed(grid, rows, columns, out, used)
            here = slice(left - area.left, max(left, right) - area.left)
            if part is None:
                begun_at_left = beside = None
                if rim is not None:
                    rim[:, :, here] = 0
                if bottom > top and right > left:
                    yield Block(block, (0, 0), None)
                continue
            if rim is None:
                rim = np.zeros((len(part), margin + grid.overlap, area.width), np.float32)
            if begun_at_left is not None:
                part[:, :, : begun_at_left.shape[2]] += begun_at_left
            begun_at_left = part[:, :, max(0, right - left) :].copy()
            if right <= left:
                continue
            part = part[:, :, : right - left]
            part[:, :begun] += rim[:, margin : margin + begun, here]
            finished = part[:, : max(0, bottom - top)]
            if finished.shape[1]:
                above, aside = (margin if top > area.top else 0), (margin if left > area.left else 0)
                values = np.concatenate([rim[:, :above, here], finished], axis=1) if above else finished
                if aside:
                    at_left = np.zeros((*values.shape[:2], margin), np.float32) if beside is None else beside
                    values = np.concatenate([at_left, values], axis=2)
                beside = _last(values.swapaxes(1, 2), margin).swapaxes(1, 2)
                yield Block(block, (above, aside), values, known)
                rim[:, :margin, here] = _last(values[:, :, aside:], margin)
            rest = part[:, finished.shape[1] :]
            rim[:, margin : margin + rest.shape[1], here] = rest
        begun = end - max(top, bottom)


def _last(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return a copy of the last rows of (outputs, rows, columns), with zeros above where there are fewer."""
    missing = max(0, count - values.shape[1])
    kept = values[:, values.shape[1] - count + missing :]
    return np.pad(kept, ((0, 0), (missing, 0), (0, 0)))


Outputs = tuple["NDArray[np.float32] | None", "Likeliest | None"]


def _run_ahead(
    grid: Grid, tiles: Iterator[tuple[Span, Span]], cut: Cut, run: Run, run_inside: RunInside | None
) -> Iterator[Outputs]:
    """Yield the outputs of the tiles, float32 (outputs, h, w); the next tile is run while one is used.

    What a tile raises comes when its own outputs are due: those before it are not lost.
    """

    def outputs_of(tile: NDArray[np.float32], rows: Span, columns: Span) -> Outputs:
        inside = _inside(grid, rows, columns)
        if run_inside is not None and inside.height and inside.width:
            out, numbers = run_inside(tile[None], inside.moved(-rows.start, -columns.start))
            return out, None if numbers is None else Likeliest(inside, numbers)
        out = run(tile[None])[0]
        return out.copy() if not out.flags.writeable or np.may_share_memory(out, tile) else out, None

    def start(rows: Span, columns: Span) -> Future[Outputs]:
        begun = Future[Outputs]()
        try:
            tile = cut(rows, columns)
        except Exception as error:
            begun.set_exception(error)
            return begun
        if tile is not None:
            return network.submit(outputs_of, tile, rows, columns)
        begun.set_result((None, None))
        return begun

    with ThreadPoolExecutor(1, thread_name_prefix="network") as network:
        running = start(*next(tiles))
        for tile in tiles:
            ahead = start(*tile)
            yield running.result()
            running = ahead
        yield running.result()


def _inside(grid: Grid, rows: Span, columns: Span) -> Area:
    """Return the pixels that a tile finishes alone, from an even row and column of it to an even one."""
    first, last = zip(
        *(
            (span.first + (grid.overlap if span.first else 0) - span.start, span.last - span.start)
            for span in (rows, columns)
        ),
        strict=True,
    )
    top, left, bottom, right = (*(-(-side // 2) * 2 for side in first), *(side // 2 * 2 for side in last))
    inside = Area(top, left, max(top, bottom), max(left, right))
    return inside.moved(rows.start, columns.start)


def _weighed(
    grid: Grid, rows: Span, columns: Span, out: NDArray[np.float32], used: Area
) -> NDArray[np.float32]:
    """Return a tile's outputs in `used`, times its weights, float32 (outputs, h, w)."""
    down = fade(rows, grid.overlap)[used.top - rows.first : used.bottom - rows.first]
    across = fade(columns, grid.overlap)[used.left - columns.first : used.right - columns.first]
    part: NDArray[np.float32] = out[
        :,
        used.top - rows.start : used.bottom - rows.start,
        used.left - columns.start : used.right - columns.start,
    ]
    _weigh(part, down, axis=1)
    _weigh(part, across, axis=2)
    return part


def _weigh(values: NDArray[np.float32], weights: NDArray[np.float32], *, axis: int) -> None:
    """Multiply (outputs, rows, columns) along an axis; weights are 1 but at its ends."""
    faded = np.flatnonzero(weights != 1)
    if not len(faded):
        return
    inner = np.flatnonzero(weights == 1)
    ends = [slice(0, inner[0]), slice(inner[-1] + 1, None)] if len(inner) else [slice(None)]
    for end in ends:
        here = (slice(None), end) if axis == 1 else (slice(None), slice(None), end)
        values[here] *= weights[end, None] if axis == 1 else weights[end]
