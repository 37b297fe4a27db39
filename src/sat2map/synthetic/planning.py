"""The planning of a synthetic town: districts, blocks, buildings, parks, waters and highways.

A town is cut into districts along arterials, a district into blocks along its own grid of streets, a block
into lots. At the end one smooth displacement bends everything, so that curved streets keep their houses.
"""

from __future__ import annotations

import cmath
import itertools
import math

import numpy as np
from numpy.random import Generator

from sat2map.synthetic.layout import MARGIN, Building, Ground, Highway, Layout, Street, Water, pick, weighted
from sat2map.synthetic.plane import (
    Range,
    Shape,
    area,
    bands,
    blob,
    centre,
    chord,
    curve,
    heading,
    inset,
    left_of,
    ribbon,
    span,
    strips,
    winding,
)
from sat2map.synthetic.styles import SCENES, STYLES, BlockStyle, SceneStyle


def plan_town(rng: Generator, size: float) -> Layout:
    """Plan a town; everything about it is drawn from `rng`."""
    plan = Layout(size)
    scene = SCENES[weighted(rng, {name: scene.share for name, scene in SCENES.items()})]
    _plan_districts(rng, plan, scene)
    _plan_water(rng, plan, weighted(rng, scene.waters))
    if scene.interchange:
        _plan_interchange(rng, plan)
    for _ in range(int(scene.highways * size / 256 + rng.random())):
        _plan_highway(rng, plan)
    return plan.bent(rng, scene.bend * rng.uniform(0.2, 1))


def _inside(rng: Generator, size: float, margin: float) -> complex:
    """A point in the picture, away from its border by a share of its size."""
    return complex(*rng.uniform(margin * size, (1 - margin) * size, 2).tolist())


def _plan_districts(rng: Generator, plan: Layout, scene: SceneStyle) -> None:
    """Halve the town along arterials until the parts are districts, and build each in its style."""
    low, high = -MARGIN, plan.size + MARGIN
    parts: list[Shape] = [[complex(low, low), complex(high, low), complex(high, high), complex(low, high)]]
    main = heading(rng)
    while parts:
        part = parts.pop()
        if area(part) < rng.uniform(28_000, 65_000):
            _plan_district(rng, plan, part, STYLES[weighted(rng, scene.styles)])
            continue
        tilt = main * cmath.rect(1, rng.normal(0, 0.12)) if rng.random() < 0.65 else heading(rng)
        along = tilt if _length(part, tilt) < _length(part, 1j * tilt) else 1j * tilt  # the short way through
        middle = centre(part) + complex(*rng.normal(0, 12, 2).tolist())
        width = rng.uniform(7, 9.5)
        if path := chord(part, middle, along):
            plan.streets.append(Street(path, width, arterial=True))
        parts.append(left_of(part, middle + 0.5j * along * width, along))
        parts.append(left_of(part, middle - 0.5j * along * width, -along))


def _length(shape: Shape, along: complex) -> float:
    low, high = span(shape, along)
    return high - low


def _plan_district(rng: Generator, plan: Layout, shape: Shape, style: BlockStyle) -> None:
    """Lay a grid of streets over a district, most often along its longest side, and plan the blocks."""
    longest = max((q - p for p, q in zip(shape, shape[1:] + shape[:1], strict=True)), key=abs)
    along = longest / abs(longest) if rng.random() < 0.6 else heading(rng)
    if style is STYLES["park"]:
        _plan_park(rng, plan, shape, along)
        return
    rows = bands(rng, span(shape, 1j * along), style.depth, style.street)
    _plan_streets(plan, shape, along, rows)
    columns = bands(rng, span(shape, along), style.length, style.street)
    for row in strips(shape, along, rows):
        if rng.random() < 0.25:  # this row's cross streets do not meet its neighbours'
            columns = bands(rng, span(shape, along), style.length, style.street)
        # Turned by -90 degrees: what lies across the strips is then counted along the row.
        _plan_streets(plan, row, -1j * along, columns)
        for block in strips(row, -1j * along, columns):
            _plan_block(rng, plan, block, along, style)


def _plan_streets(plan: Layout, shape: Shape, along: complex, stretches: list[Range]) -> None:
    """Put streets in the gaps between strips of a convex shape."""
    for (_, end), (start, _) in itertools.pairwise(stretches):
        if path := chord(shape, 1j * along * (end + start) / 2, along):
            plan.streets.append(Street(path, start - end, arterial=False))


def _plan_block(rng: Generator, plan: Layout, block: Shape, along: complex, style: BlockStyle) -> None:
    """Choose what a block is used for, and build it over."""
    use = weighted(rng, style.uses)
    if area(block) < 300:  # what is left in the corners of a grid
        use = pick(rng, ("park", "lawn", "bare"))
    if use == "park":
        _plan_park(rng, plan, block, along)
        return
    plan.grounds.append(Ground(block, use, along))
    inner = inset(block, rng.uniform(*style.setback))
    if not inner or use not in ("yards", "plaza", "works", "estate"):
        return
    low, high = span(inner, 1j * along)
    if use == "estate":
        style = STYLES["estate"]
        rows = bands(rng, (low, high), style.depth, style.yard)
    elif high - low < 14:
        rows = [(low, high)]
    else:  # two rows, back to back
        middle, yard = (low + high) / 2, rng.uniform(*style.yard)
        rows = [(low, middle - yard / 2), (middle + yard / 2, high)]
    for row in strips(inner, along, rows):
        for lot in strips(row, -1j * along, bands(rng, span(row, along), style.lot, style.gap)):
            if rng.random() < (0.75 if use == "works" else 0.96):
                _plan_building(rng, plan, inset(lot, rng.random() ** 2), along, style)


def _plan_building(rng: Generator, plan: Layout, lot: Shape, along: complex, style: BlockStyle) -> None:
    """Put one building on a lot: all of it, or an L."""
    if area(lot) < 9:
        return
    parts = [lot]
    if rng.random() < 0.4:
        turned = along * pick(rng, (1, 1j, -1, -1j))
        corner = centre(lot) + turned * complex(*rng.uniform(-1.5, 1.5, 2).tolist())
        parts = [left_of(lot, corner, turned), left_of(left_of(lot, corner, -turned), corner, 1j * turned)]
    low, high = style.floors
    floors = low + (high - low) * rng.random() ** 2.5  # most are low
    parts = [part for part in parts if len(part) > 2]
    plan.buildings.append(Building(parts, along, floors, rng.random() < style.pitched))


def _plan_park(rng: Generator, plan: Layout, shape: Shape, along: complex) -> None:
    """Lay out a park: a meadow, a wood, footpaths, and in a large one pitches and a pond or a pavilion."""
    plan.grounds.append(Ground(shape, "park", along))
    inner = inset(shape, 3)
    if area(inner) < 400:
        return
    wood = left_of(inner, centre(inner) + 12 * heading(rng), heading(rng))
    if area(wood) > 100:
        plan.grounds.append(Ground(wood, "wood", along))
    roomy = area(inner) > 6000
    for _ in range(int(rng.integers(0, 4)) if roomy else 0):
        if box := _plot(rng, inner, along, rng.uniform(14, 30), rng.uniform(12, 20)):
            plan.grounds.append(Ground(box, "pitch", along))
    for _ in range(int(rng.integers(1, 3 + 4 * roomy))):
        start, end = (pick(rng, inner) * t + pick(rng, inner) * (1 - t) for t in rng.random(2).tolist())
        control = centre(inner) + rng.uniform(0, 0.5) * (pick(rng, inner) - centre(inner))
        plan.footpaths.append(curve(start, control, end))
    if roomy and rng.random() < 0.5:
        radius = 0.25 * math.sqrt(area(inner)) * rng.uniform(0.5, 1)
        plan.waters.append(Water(blob(rng, centre(inner), min(radius, 45))))
    elif roomy:
        _plan_building(rng, plan, _plot(rng, inner, along, 12, 9), along, STYLES["park"])


def _plot(rng: Generator, shape: Shape, along: complex, length: float, width: float) -> Shape:
    """A rectangle somewhere in a convex polygon, or what of it lies inside."""
    for way, extent in ((along, width), (-1j * along, length)):
        low, high = span(shape, 1j * way) if shape else (0, 0)
        start = rng.uniform(low, max(low, high - extent))
        shape = next(strips(shape, way, [(start, start + extent)]), [])
    return shape


def _plan_water(rng: Generator, plan: Layout, kind: str) -> None:
    """Add the chief water of the scene."""
    size, along = plan.size, heading(rng)
    length = 1.6 * size + 4 * MARGIN
    if kind == "river":
        path = winding(rng, _inside(rng, size, 0.25), along, length, rng.uniform(15, 55))
        mean, drift = rng.uniform(13, 34), rng.uniform(0, math.tau)
        widths = mean * (1 + 0.25 * np.sin(np.arange(len(path)) / 9 + drift))
        rough = rng.uniform(-0.7, 0.7, len(path))
        plan.waters.append(Water(ribbon(path, (widths + rough).tolist()), bridged=True))
    elif kind == "lake":
        plan.waters.append(Water(blob(rng, _inside(rng, size, 0.2), rng.uniform(30, 70))))
    elif kind == "sea":
        depth = rng.uniform(0.15, 0.5) * min(size, 700)
        coast = complex(size, size) / 2 + 1j * along * (size / 2 - depth)
        shore = winding(rng, coast, along, length, rng.uniform(4, 30))
        plan.waters.append(Water([*shore, shore[-1] + 1j * along * length, shore[0] + 1j * along * length]))


def _plan_highway(rng: Generator, plan: Layout) -> None:
    """Add a motorway with its verges, or a boulevard without."""
    length = 1.6 * plan.size + 4 * MARGIN
    path = winding(rng, _inside(rng, plan.size, 0.2), heading(rng), length, rng.uniform(0, 25))
    if rng.random() < 0.5:
        plan.highways.append(Highway(path, rng.uniform(8, 9.5), "boulevard"))
        return
    width, median = rng.uniform(9, 12), pick(rng, (0, 0, rng.uniform(2, 6)))
    plan.verges.append(ribbon(path, width + median + rng.uniform(4, 14)))
    plan.highways.append(Highway(path, width, "motorway", median))


def _plan_interchange(rng: Generator, plan: Layout) -> None:
    """Cross two motorways and join them by ramps: sweeps, and the loops of a cloverleaf."""
    middle, first = _inside(rng, plan.size, 0.3), heading(rng)
    second = first * cmath.rect(1, rng.uniform(1.2, 1.9))
    length = 2 * plan.size + 4 * MARGIN
    for along in (first, second):
        path = winding(rng, middle, along, length, 3)
        width = rng.uniform(9, 12)
        plan.verges.append(ribbon(path, width + rng.uniform(6, 12)))
        plan.highways.append(Highway(path, width, "motorway"))
    radius = rng.uniform(9.5, 12.5)
    reach = 7 * radius  # so that a sweep passes outside the loop of its quarter
    for one, other in ((first, second), (second, -first), (-first, -second), (-second, first)):
        between = (one + other) / abs(one + other)
        if rng.random() < 0.85:
            corners = (0, 1.1 * reach * one, 0.7 * reach * between, 1.1 * reach * other)
            plan.verges.append([middle + corner for corner in corners])
            sweep = curve(middle + reach * one, middle + 0.12 * reach * between, middle + reach * other)
            plan.highways.append(Highway(sweep, rng.uniform(3.5, 4.5), "ramp"))
        if rng.random() < 0.6:
            hub = middle + between * radius / math.sin(cmath.phase(other / one) / 2)
            loop = [hub + cmath.rect(radius, turn) for turn in np.linspace(0, math.tau, 40).tolist()]
            plan.highways.append(Highway(loop, 4, "ramp"))
