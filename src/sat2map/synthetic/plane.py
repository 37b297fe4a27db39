"""Plane geometry on complex numbers: cutting convex polygons, ribbons, curves and winding lines.

A point is x + iy, so a product with a unit number turns and `1j * along` is the perpendicular of `along`. The
left of a line is the side of `1j * along`, and convex polygons have their inside on the left of every edge.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Shape = list[complex]
"""A closed polygon, or an open path, as its points."""

Range = tuple[float, float]
"""A lowest and a highest value."""


def _points(numbers: NDArray[np.complex128]) -> Shape:
    """An array's points as a list, which is faster one by one."""
    shape: Shape = numbers.tolist()
    return shape


def heading(rng: Generator) -> complex:
    """A unit number in any direction."""
    return cmath.rect(1, rng.uniform(0, math.tau))


def left_of(shape: Shape, at: complex, along: complex) -> Shape:
    """The part of a convex polygon on the left of the line through `at`; empty if there is none."""
    kept: Shape = []
    back = along.conjugate()
    previous = shape[-1] if shape else 0j
    before = ((previous - at) * back).imag
    for point in shape:
        after = ((point - at) * back).imag
        if (before < 0) != (after < 0):
            kept.append(previous + (point - previous) * (before / (before - after)))
        if after >= 0:
            kept.append(point)
        previous, before = point, after
    return kept


def span(shape: Shape, along: complex) -> Range:
    """The lowest and the highest coordinate of a shape in a unit direction."""
    places = [(point * along.conjugate()).real for point in shape]
    return min(places), max(places)


def centre(shape: Shape) -> complex:
    """The mean of the corners."""
    return sum(shape) / len(shape)


def area(shape: Shape) -> float:
    """The area of a polygon, by the shoelace formula; 0 if it is empty."""
    return sum((p.conjugate() * q).imag for p, q in zip(shape, shape[1:] + shape[:1], strict=True)) / 2


def inset(shape: Shape, by: float) -> Shape:
    """A convex polygon with every edge moved inwards; empty if nothing is left."""
    inner = shape
    for p, q in zip(shape, shape[1:] + shape[:1], strict=True):
        if abs(q - p) > 1e-6:
            along = (q - p) / abs(q - p)
            inner = left_of(inner, p + 1j * along * by, along)
    return inner


def bands(rng: Generator, extent: Range, width: Range, gap: Range) -> list[Range]:
    """Stretches of random width with random gaps between them, that cover an extent."""
    low, high = extent
    found = []
    while low < high:
        end = low + rng.uniform(*width)
        found.append((low, end))
        low = end + rng.uniform(*gap)
    return found


def strips(shape: Shape, along: complex, stretches: Iterable[Range]) -> Iterator[Shape]:
    """The parts of a convex polygon in strips parallel to `along`; stretches say where across they lie."""
    across = 1j * along
    for low, high in stretches:
        strip = left_of(left_of(shape, across * low, along), across * high, -along)
        if len(strip) > 2:
            yield strip


def chord(shape: Shape, at: complex, along: complex) -> Shape:
    """The two points where a line cuts a convex polygon's border; empty where it misses."""
    cut = [p for p in left_of(shape, at, along) if abs(((p - at) / along).imag) < 1e-6]
    return cut if len(cut) == 2 else []


def dense(path: Shape, step: float, *, closed: bool = False) -> Shape:
    """The same path or polygon with points no further apart than `step`."""
    edges = zip(path, path[1:] + path[:1] if closed else path[1:], strict=closed)
    points = [p + (q - p) * i / n for p, q in edges for n in [int(abs(q - p) / step) + 1] for i in range(n)]
    return points if closed else [*points, path[-1]]


def normals(line: Shape) -> NDArray[np.complex128]:
    """The unit normals of a path, at its points: `1j` times where it goes."""
    ways: NDArray[np.complex128] = np.gradient(np.asarray(line))
    return 1j * ways / np.maximum(np.abs(ways), 1e-9)


def beside(path: Shape, by: float) -> Shape:
    """The path that runs beside another one at a distance of `by`."""
    return _points(np.asarray(path) + by * normals(path))


def ribbon(path: Shape, width: float | Sequence[float]) -> Shape:
    """The polygon that a path of this width covers; one width, or one for each point."""
    offset = np.asarray(width) / 2 * normals(path)
    return _points(np.concatenate([path + offset, (path - offset)[::-1]]))


def curve(start: complex, control: complex, end: complex) -> Shape:
    """A quadratic Bézier curve; it stays inside the triangle of its three points."""
    steps = max(6, int(abs(control - start) + abs(end - control)) // 5)
    t = np.linspace(0, 1, steps)
    return _points((1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end)


def winding(rng: Generator, through: complex, along: complex, length: float, swing: float) -> Shape:
    """A line that swings about the straight one through a point, by up to `swing`."""
    place = np.arange(-length / 2, length / 2, 5.0)
    short, long = (math.tau / rng.uniform(*wave) for wave in ((100, 240), (300, 800)))
    sway = 0.35 * np.sin(place * short + rng.uniform(0, math.tau))
    sway += 0.65 * np.sin(place * long + rng.uniform(0, math.tau))
    return _points(through + along * (place + 1j * swing * sway))


def blob(rng: Generator, middle: complex, radius: float) -> Shape:
    """A smooth closed outline, longer than wide."""
    turn = np.linspace(0, math.tau, 48, endpoint=False)
    lobes = [rng.uniform(-0.5, 0.5) / k * np.sin(k * turn + rng.uniform(0, math.tau)) for k in (2, 3, 4, 5)]
    oval = np.cos(turn) + 1j * rng.uniform(0.45, 0.9) * np.sin(turn)
    return _points(middle + radius * heading(rng) * (1 + sum(lobes)) * oval)


def bender(rng: Generator, reach: float) -> Callable[[Shape], Shape]:
    """A smooth displacement of the plane, by at most `reach`; the function it returns bends a shape."""
    waves = [
        (heading(rng) * math.tau / rng.uniform(150, 350), rng.uniform(0, math.tau), heading(rng) * reach / 2)
        for _ in range(2)
    ]

    def bend(shape: Shape) -> Shape:
        bent = shape
        for k, phase, push in waves:
            pushes = [push * math.sin(p.real * k.real + p.imag * k.imag + phase) for p in shape]
            bent = [p + moved for p, moved in zip(bent, pushes, strict=True)]
        return bent

    return bend
