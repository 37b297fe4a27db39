"""The layout of a synthetic town: blocks, buildings, streets, highways and waters as shapes, without colour.

Lengths are in units of 2.1 m, whatever the picture's pixels measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from numpy.random import Generator

from sat2map.synthetic.plane import Shape, bender, dense
from sat2map.synthetic.styles import Use

T = TypeVar("T")

METRES_PER_UNIT = 2.1

MARGIN = 32.0
"""Pixels of town planned outside the picture, so that nothing begins or ends at its border."""


@dataclass(frozen=True)
class Ground:
    """A block, or a whole district without streets; `along` is the direction of its grid."""

    shape: Shape
    use: Use
    along: complex


@dataclass(frozen=True)
class Building:
    """Convex parts under one roof."""

    parts: list[Shape]
    along: complex
    floors: float
    pitched: bool


@dataclass(frozen=True)
class Street:
    """The middle line of a street; an arterial crosses rivers on a bridge."""

    path: Shape
    width: float
    arterial: bool


@dataclass(frozen=True)
class Highway:
    """The middle line of a highway, or of a ramp between two.

    `median` is the width of the green between its carriageways, 0 if there is none; a boulevard is the lesser
    kind, which maps draw in yellow.
    """

    path: Shape
    width: float
    kind: Literal["motorway", "boulevard", "ramp"]
    median: float = 0


@dataclass(frozen=True)
class Water:
    """A river, a lake or the sea; arterials cross rivers only."""

    shape: Shape
    bridged: bool = False


@dataclass
class Layout:
    """Everything in a town whose picture is [0, size) in x and y; some of it lies outside."""

    size: float
    grounds: list[Ground] = field(default_factory=list)
    verges: list[Shape] = field(default_factory=list)
    footpaths: list[Shape] = field(default_factory=list)
    streets: list[Street] = field(default_factory=list)
    waters: list[Water] = field(default_factory=list)
    highways: list[Highway] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)

    def bent(self, rng: Generator, reach: float) -> Layout:
        """The same town with everything displaced smoothly, by at most `reach`."""
        bend = bender(rng, reach)

        def around(shape: Shape) -> Shape:
            return bend(dense(shape, 12, closed=True))

        return Layout(
            self.size,
            [replace(ground, shape=around(ground.shape)) for ground in self.grounds],
            [around(shape) for shape in self.verges],
            [bend(path) for path in self.footpaths],
            [replace(street, path=bend(dense(street.path, 12))) for street in self.streets],
            [replace(water, shape=around(water.shape)) for water in self.waters],
            [replace(highway, path=bend(highway.path)) for highway in self.highways],
            [replace(b, parts=[bend(part) for part in b.parts]) for b in self.buildings],
        )


def pick(rng: Generator, items: Sequence[T]) -> T:
    """One of the items, all equally likely (`Generator.choice` costs ten times as much)."""
    return items[int(rng.random() * len(items))]


def weighted(rng: Generator, weights: Mapping[T, float]) -> T:
    """One of the keys, as likely as its weight."""
    mark = rng.random() * sum(weights.values())
    *others, last = weights
    for item in others:
        mark -= weights[item]
        if mark < 0:
            return item
    return last
