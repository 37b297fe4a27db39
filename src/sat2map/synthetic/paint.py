"""The look of a synthetic town: a layout painted twice, as a satellite sees it and as a web map draws it."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sat2map.synthetic.canvas import SCALE, Canvas, Polygon
from sat2map.synthetic.layout import METRES_PER_UNIT, Building, Highway, Layout, Street, pick, weighted
from sat2map.synthetic.materials import (
    CANOPY,
    CARS,
    FLAT_ROOFS,
    FOOTPATH,
    GROUNDS,
    MAP,
    OPEN_WATER,
    PAINT,
    PAVED,
    PAVEMENT,
    PITCHED_ROOFS,
    PITCHES,
    ROOF_ROUGHNESS,
    SHORE,
    VERGE,
    YELLOW_PAINT,
    Look,
    Traits,
    choose_look,
    scaled,
    tinted,
)
from sat2map.synthetic.photo import Colour, Daylight, photograph
from sat2map.synthetic.plane import Shape, area, beside, centre, heading, left_of, ribbon, span
from sat2map.synthetic.styles import Use


def paint_town(
    rng: Generator, plan: Layout, side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[Polygon]]:
    """Paint a plan.

    `rng` decides looks, light, trees and noise; the pictures have `side` px a side.

    Returns:
        The satellite picture and the map, each uint8 (side, side, 3) in RGB, and what the map shows as
        polygons, in the order in which they were painted over each other.
    """
    look = choose_look(rng)
    day = _choose_daylight(rng, side / plan.size)
    canvas = Canvas(plan.size, side, look.asphalt)
    _paint_blocks(rng, canvas, plan, look)
    _paint_waters_and_ways(rng, canvas, plan, look)
    for building in plan.buildings:
        if canvas.is_clear(building):
            _paint_building(rng, canvas, building, day.shadow)
    source = photograph(rng, canvas.colour, canvas.traits, day, SCALE, detail=side / plan.size)
    return source, np.asarray(canvas.chart.reduce(SCALE)), canvas.polygons


def _choose_daylight(rng: Generator, detail: float) -> Daylight:
    elevation = rng.uniform(0.6, 1.1)
    return Daylight(
        shadow=heading(rng) * (SCALE * detail / METRES_PER_UNIT) / math.tan(elevation),
        depth=rng.uniform(0.35, 0.6),
        canopy=(tinted(rng, pick(rng, CANOPY)), tinted(rng, pick(rng, CANOPY), 0.15)),
    )


def _paint_blocks(rng: Generator, canvas: Canvas, plan: Layout, look: Look) -> None:
    """Paint all that lies on the ground in town; what no block covers stays street."""
    for ground in plan.grounds:
        colours: dict[Use, Colour] = {
            "yards": pick(rng, (look.grass, look.grass, look.soil, look.pavement)),
            "plaza": pick(rng, (look.pavement, look.asphalt, (118, 114, 110))),
            "works": pick(rng, (look.pavement, look.asphalt, look.soil)),
            "estate": look.grass,
            "park": look.park,
            "wood": look.park,
            "pitch": pick(rng, PITCHES),
            "parking": look.asphalt,
            "lawn": look.grass,
            "bare": look.soil,
        }
        chart = MAP["park" if ground.use in ("park", "wood", "pitch") else "land"]
        canvas.fill(ground.shape, tinted(rng, colours[ground.use], 0.08), GROUNDS[ground.use], chart)
        if ground.use not in ("wood", "pitch"):
            canvas.line([*ground.shape, ground.shape[0]], 1.4, look.pavement, PAVEMENT)
        if ground.use == "parking" or (ground.use == "works" and rng.random() < 0.5):
            _park_cars(rng, canvas, ground.shape, ground.along)
    for path in plan.footpaths:
        canvas.line(path, 1.2, FOOTPATH, PAVED)
    for street in plan.streets:
        if not street.arterial:
            _paint_traffic(rng, canvas, street)


def _paint_waters_and_ways(rng: Generator, canvas: Canvas, plan: Layout, look: Look) -> None:
    """Paint verges, rivers, the arterials over them, lakes and seas, and highways over all."""
    for verge in plan.verges:
        canvas.fill(verge, tinted(rng, look.grass), VERGE, MAP["land"])
        canvas.claim(verge)
    bank = pick(rng, (look.soil, look.grass, look.pavement))
    _paint_waters(rng, canvas, [water.shape for water in plan.waters if water.bridged], look, bank)
    for street in plan.streets:
        if street.arterial:
            canvas.fill(ribbon(street.path, street.width), look.asphalt, PAVED, MAP["road"])
            canvas.line(street.path, 0.5, pick(rng, (PAINT, YELLOW_PAINT, look.pavement)))
            _paint_traffic(rng, canvas, street)
    _paint_waters(rng, canvas, [water.shape for water in plan.waters if not water.bridged], look, bank)
    for highway in sorted(plan.highways, key=lambda way: ("ramp", "boulevard", "motorway").index(way.kind)):
        _paint_highway(rng, canvas, highway, look)


def _paint_waters(rng: Generator, canvas: Canvas, shapes: list[Shape], look: Look, bank: Colour) -> None:
    """Paint waters with their banks."""
    for shape in shapes:
        canvas.line([*shape, shape[0]], rng.uniform(2, 7), bank, SHORE)
        canvas.fill(shape, look.water, OPEN_WATER, MAP["water"])
        canvas.claim(shape)


def _paint_traffic(rng: Generator, canvas: Canvas, street: Street) -> None:
    """Paint the cars of a street: many at the kerbs, few on the lanes."""
    kerb = street.width / 2 - 1.2
    busy = rng.uniform(0.1, 0.6)
    for side in (-kerb, -kerb / 2, kerb / 2, kerb):
        share = busy if abs(side) == kerb else busy / 8
        _paint_cars(rng, canvas, beside(street.path, side), share)


def _paint_cars(rng: Generator, canvas: Canvas, path: Shape, share: float) -> None:
    """Paint cars along a path, on a share of the places that it has room for."""
    line = np.asarray(path)
    mileage = np.concatenate([[0], np.cumsum(np.abs(np.diff(line)))])
    rears = np.arange(0.5, mileage[-1] - 2, 2.9)
    rears = rears[rng.random(len(rears)) < share]
    ends = [np.interp(places, mileage, line).tolist() for places in (rears, rears + 1.9)]
    for rear, front in zip(*ends, strict=True):
        if canvas.shows(rear):
            canvas.line([rear, front], 0.9, weighted(rng, CARS))


def _park_cars(rng: Generator, canvas: Canvas, shape: Shape, along: complex) -> None:
    """Paint rows of parked cars, two rows to a lane, inside a convex polygon."""
    low, high = span(shape, 1j * along)
    share = rng.uniform(0.2, 0.95)
    for number, across in enumerate(np.arange(low + 5, high - 4, 4.2).tolist()):
        row = left_of(left_of(shape, 1j * along * across, along), 1j * along * (across + 2.2), -along)
        if number % 3 == 2 or not row:
            continue
        start, end = span(row, along)
        for place in np.arange(start + 4, end - 4, 1.5).tolist():
            front = along * complex(place, across)
            if rng.random() < share and canvas.shows(front):
                canvas.line([front, front + 1.9j * along], 0.8, weighted(rng, CARS))


def _paint_highway(rng: Generator, canvas: Canvas, highway: Highway, look: Look) -> None:
    """Paint a highway: one carriageway or two, lanes, a median and the traffic."""
    way = ribbon(highway.path, highway.width + highway.median)
    canvas.claim(way)
    traits = Traits(height=0 if highway.kind == "boulevard" else 3)
    surface = look.asphalt if highway.kind == "boulevard" else look.highway
    half = (highway.width - 0.6) / 2
    if highway.median:
        middles = [beside(highway.path, side * (highway.median + half + 0.6) / 2) for side in (-1, 1)]
        widths = [half, half]
    else:
        middles, widths = [highway.path], [highway.width]
    for middle, width in zip(middles, widths, strict=True):
        canvas.fill(ribbon(middle, width), surface, traits, MAP[highway.kind])
        if highway.kind == "ramp":
            continue
        lanes = round(width / 2)
        for lane in range(1, lanes):
            _paint_dashes(canvas, beside(middle, width * (lane / lanes - 0.5)))
        for lane in range(lanes):
            _paint_cars(rng, canvas, beside(middle, width * ((lane + 0.5) / lanes - 0.5)), 0.12)
        for edge in (-1, 1):
            canvas.line(beside(middle, edge * (width / 2 - 0.5)), 0.5, PAINT)
    if not highway.median and highway.kind != "ramp":
        canvas.line(highway.path, 1, YELLOW_PAINT if highway.kind == "boulevard" else look.pavement)


def _paint_dashes(canvas: Canvas, path: Shape) -> None:
    """Paint a broken lane marking."""
    for start, end in itertools.pairwise(path):
        if canvas.shows(start):
            canvas.line([start, start + 0.5 * (end - start)], 0.5, PAINT)


def _paint_building(rng: Generator, canvas: Canvas, building: Building, shadow: complex) -> None:
    """Paint a roof: two slopes, one in the light, or a flat one with a parapet and boxes on it."""
    colour = tinted(rng, weighted(rng, PITCHED_ROOFS if building.pitched else FLAT_ROOFS), 0.08)
    height = int(building.floors * 3)
    for part in building.parts:
        canvas.fill(part, colour, Traits(height, ROOF_ROUGHNESS), MAP["building"])
        if building.pitched:
            (left, right), (low, high) = span(part, building.along), span(part, 1j * building.along)
            ridge = building.along if right - left > high - low else 1j * building.along
            away = ridge if (shadow / ridge).imag > 0 else -ridge  # with the shaded slope on its left
            canvas.fill(left_of(part, centre(part), away), scaled(colour, 0.72), None)
            continue
        canvas.line([*part, part[0]], 0.5, tinted(rng, colour, 0.2))
        for _ in range(int(rng.random() * min(area(part) / 30, 5))):
            corner = centre(part) + (pick(rng, part) - centre(part)) * rng.uniform(0, 0.7)
            side = rng.uniform(0.8, 2.2) * building.along
            box = [corner, corner + side, corner + side * (1 + 1j), corner + side * 1j]
            canvas.fill(box, tinted(rng, colour, 0.25), Traits(height + 3, ROOF_ROUGHNESS))
