"""The look of a synthetic town: a layout painted twice, as a satellite sees it and as a web map draws it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sat2map.synthetic.layout import (
    MARGIN,
    METRES_PER_UNIT,
    Building,
    Highway,
    Layout,
    Street,
    pick,
    weighted,
)
from sat2map.synthetic.photo import Colour, Daylight, photograph
from sat2map.synthetic.plane import Shape, area, beside, centre, dense, heading, left_of, ribbon, span
from sat2map.synthetic.styles import Use

SCALE = 2
"""Both pictures are painted this many times larger and averaged down, so their edges are equally smooth."""

Polygon = tuple[Colour, Shape]
"""What was painted on the map: its colour, and its outline in output pixels."""

MAP: dict[str, Colour] = {
    "land": (232, 229, 223),
    "building": (243, 241, 235),
    "road": (254, 254, 254),
    "park": (203, 223, 172),
    "water": (177, 208, 254),
    "motorway": (247, 158, 39),
    "ramp": (247, 158, 39),
    "boulevard": (251, 223, 107),
}

ASPHALT = ((78, 78, 80), (96, 95, 94), (112, 110, 108), (128, 125, 122))
CONCRETE = ((150, 147, 140), (166, 162, 154), (124, 122, 120))
GRASS = ((92, 108, 62), (112, 122, 74), (80, 104, 66), (132, 128, 86), (100, 128, 70))
SOIL = ((150, 128, 98), (134, 118, 98), (172, 156, 128), (120, 98, 78))
WATER = ((38, 52, 66), (52, 72, 66), (104, 96, 76), (44, 82, 98), (66, 84, 96), (30, 40, 44))
CANOPY = ((52, 74, 44), (62, 84, 46), (46, 66, 50), (76, 86, 48), (96, 88, 50))
FLAT_ROOFS = {
    (226, 224, 220): 3, (198, 195, 190): 3, (168, 165, 160): 4, (130, 127, 124): 4, (98, 96, 95): 3.5,
    (70, 68, 68): 3, (158, 128, 108): 1.5, (132, 92, 76): 1, (180, 166, 140): 1.5, (110, 136, 128): 0.4,
    (84, 104, 132): 0.4,
}  # fmt: skip
PITCHED_ROOFS = {
    (112, 104, 98): 4, (90, 84, 82): 3, (140, 130, 120): 3, (152, 100, 78): 2.5, (128, 78, 62): 1.5,
    (170, 158, 144): 1.5, (96, 104, 112): 1.5,
}  # fmt: skip
CARS = {
    (216, 216, 216): 3, (44, 44, 48): 4, (144, 146, 150): 4, (96, 98, 104): 2, (150, 44, 40): 1,
    (46, 72, 124): 1,
}  # fmt: skip
PAINT = (214, 212, 204)
YELLOW_PAINT = (194, 164, 76)
FOOTPATH = (178, 168, 146)
PITCHES = ((168, 128, 96), (110, 140, 74), (72, 116, 84), (150, 84, 66))


class Traits(NamedTuple):
    """What a surface is like besides its colour, in 8 bits each: height in metres, roughness, woodedness."""

    height: int = 0
    rough: int = 14
    woods: int = 0


GROUNDS: dict[Use, Traits] = {
    "yards": Traits(rough=28, woods=95),
    "plaza": Traits(rough=22, woods=30),
    "works": Traits(rough=20, woods=14),
    "estate": Traits(rough=26, woods=100),
    "park": Traits(rough=28, woods=84),
    "wood": Traits(rough=34, woods=190),
    "pitch": Traits(rough=10),
    "parking": Traits(rough=16, woods=22),
    "lawn": Traits(rough=20, woods=22),
    "bare": Traits(rough=30, woods=26),
}
PAVED = Traits()
PAVEMENT = Traits(woods=78)
VERGE = Traits(rough=24, woods=62)
SHORE = Traits(rough=34, woods=70)
OPEN_WATER = Traits(rough=7)
ROOF_ROUGHNESS = 12


@dataclass(frozen=True)
class Look:
    """The materials of one town."""

    asphalt: Colour
    pavement: Colour
    highway: Colour
    grass: Colour
    park: Colour
    soil: Colour
    water: Colour


def paint_town(
    rng: Generator, plan: Layout, side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[Polygon]]:
    """Paint a plan.

    Args:
        rng: Decides looks, light, trees and noise.
        plan: The town.
        side: Of the pictures (px).

    Returns:
        The satellite picture and the map, each uint8 (side, side, 3) in RGB, and what the map shows as
        polygons, in the order in which they were painted over each other.
    """
    look = _choose_look(rng)
    day = _choose_daylight(rng, side / plan.size)
    canvas = _Canvas(plan.size, side, look.asphalt)
    _paint_blocks(rng, canvas, plan, look)
    _paint_waters_and_ways(rng, canvas, plan, look)
    for building in plan.buildings:
        if canvas.is_clear(building):
            _paint_building(rng, canvas, building, day.shadow)
    source = photograph(rng, canvas.colour, canvas.traits, day, SCALE, detail=side / plan.size)
    return source, np.asarray(canvas.chart.reduce(SCALE)), canvas.polygons


def _choose_look(rng: Generator) -> Look:
    asphalt, grass = tinted(rng, pick(rng, ASPHALT)), tinted(rng, pick(rng, GRASS), 0.1)
    return Look(
        asphalt=asphalt,
        pavement=tinted(rng, pick(rng, CONCRETE)),
        highway=tinted(rng, pick(rng, (asphalt, *ASPHALT[1:], *CONCRETE))),
        grass=grass,
        park=tinted(rng, pick(rng, (grass, pick(rng, GRASS)))),
        soil=tinted(rng, pick(rng, SOIL)),
        water=tinted(rng, pick(rng, WATER), 0.1),
    )


def _choose_daylight(rng: Generator, detail: float) -> Daylight:
    elevation = rng.uniform(0.6, 1.1)
    return Daylight(
        shadow=heading(rng) * (SCALE * detail / METRES_PER_UNIT) / math.tan(elevation),
        depth=rng.uniform(0.35, 0.6),
        canopy=(tinted(rng, pick(rng, CANOPY)), tinted(rng, pick(rng, CANOPY), 0.15)),
    )


def tinted(rng: Generator, colour: Colour, spread: float = 0.06) -> Colour:
    """The colour made a little brighter or darker."""
    return scaled(colour, 1 + spread * rng.normal())


def scaled(colour: Colour, gain: float) -> Colour:
    """The colour made brighter or darker."""
    red, green, blue = colour
    return min(int(red * gain), 255), min(int(green * gain), 255), min(int(blue * gain), 255)


class _Canvas:
    """Three pictures painted at once: the colour seen from above, the traits of its surface, and the map."""

    def __init__(self, size: float, side: int, colour: Colour) -> None:
        self.size = size
        self.polygons: list[Polygon] = []
        self.extent = side * SCALE
        self._scale = self.extent / size  # painted pixels per unit of the plan
        self.colour = Image.new("RGB", (self.extent, self.extent), colour)
        self.traits = Image.new("RGB", (self.extent, self.extent), PAVED)
        self.chart = Image.new("RGB", (self.extent, self.extent), MAP["road"])
        self._pens = [ImageDraw.Draw(image) for image in (self.colour, self.traits, self.chart)]
        taken = int(size + 2 * MARGIN)
        self._taken = Image.new("1", (taken, taken))
        self._claim = ImageDraw.Draw(self._taken)

    def fill(
        self, shape: Shape, colour: Colour | None, traits: Traits | None, chart: Colour | None = None
    ) -> None:
        """Paint a polygon into those of the pictures that have a value."""
        if chart is not None and len(shape) > 2:
            self.polygons.append((chart, [point * (self._scale / SCALE) for point in shape]))
        xy = [value for point in shape for value in (point.real * self._scale, point.imag * self._scale)]
        for pen, value in zip(self._pens, (colour, traits, chart), strict=True):
            if value is not None:
                pen.polygon(xy, fill=value)

    def line(self, path: Shape, width: float, colour: Colour, traits: Traits | None = None) -> None:
        """Paint a line of a width in units of the plan, which the map does not show."""
        xy = [value for point in path for value in (point.real * self._scale, point.imag * self._scale)]
        for pen, value in zip(self._pens, (colour, traits), strict=False):
            if value is not None:
                pen.line(xy, fill=value, width=max(1, round(width * self._scale)))

    def claim(self, shape: Shape) -> None:
        """Let no building stand on a polygon, or within 2 pixels of it."""
        xy = [(point.real + MARGIN, point.imag + MARGIN) for point in shape]
        self._claim.polygon(xy, fill=1)
        self._claim.line([*xy, xy[0]], fill=1, width=5)

    def is_clear(self, building: Building) -> bool:
        """Whether a building is in the picture and stands on no claimed ground."""
        edges = [point for part in building.parts for point in dense(part, 6, closed=True)]
        beyond = 30  # far enough for the shadow of a tower
        if not any(self.shows(point, beyond) for point in edges):
            return False
        last = self._taken.width - 1
        places = ((int(point.real + MARGIN), int(point.imag + MARGIN)) for point in [*edges, centre(edges)])
        return not any(self._taken.getpixel((min(max(x, 0), last), min(max(y, 0), last))) for x, y in places)

    def shows(self, point: complex, beyond: float = 0) -> bool:
        """Whether a point is in the picture, or so near to it."""
        high = self.size + beyond
        return -beyond <= point.real < high and -beyond <= point.imag < high


def _paint_blocks(rng: Generator, canvas: _Canvas, plan: Layout, look: Look) -> None:
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


def _paint_waters_and_ways(rng: Generator, canvas: _Canvas, plan: Layout, look: Look) -> None:
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


def _paint_waters(rng: Generator, canvas: _Canvas, shapes: list[Shape], look: Look, bank: Colour) -> None:
    """Paint waters with their banks."""
    for shape in shapes:
        canvas.line([*shape, shape[0]], rng.uniform(2, 7), bank, SHORE)
        canvas.fill(shape, look.water, OPEN_WATER, MAP["water"])
        canvas.claim(shape)


def _paint_traffic(rng: Generator, canvas: _Canvas, street: Street) -> None:
    """Paint the cars of a street: many at the kerbs, few on the lanes."""
    kerb = street.width / 2 - 1.2
    busy = rng.uniform(0.1, 0.6)
    for side in (-kerb, -kerb / 2, kerb / 2, kerb):
        share = busy if abs(side) == kerb else busy / 8
        _paint_cars(rng, canvas, beside(street.path, side), share)


def _paint_cars(rng: Generator, canvas: _Canvas, path: Shape, share: float) -> None:
    """Paint cars along a path, on a share of the places that it has room for."""
    line = np.asarray(path)
    mileage = np.concatenate([[0], np.cumsum(np.abs(np.diff(line)))])
    rears = np.arange(0.5, mileage[-1] - 2, 2.9)
    rears = rears[rng.random(len(rears)) < share]
    ends = [np.interp(places, mileage, line).tolist() for places in (rears, rears + 1.9)]
    for rear, front in zip(*ends, strict=True):
        if canvas.shows(rear):
            canvas.line([rear, front], 0.9, weighted(rng, CARS))


def _park_cars(rng: Generator, canvas: _Canvas, shape: Shape, along: complex) -> None:
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


def _paint_highway(rng: Generator, canvas: _Canvas, highway: Highway, look: Look) -> None:
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


def _paint_dashes(canvas: _Canvas, path: Shape) -> None:
    """Paint a broken lane marking."""
    for start, end in itertools.pairwise(path):
        if canvas.shows(start):
            canvas.line([start, start + 0.5 * (end - start)], 0.5, PAINT)


def _paint_building(rng: Generator, canvas: _Canvas, building: Building, shadow: complex) -> None:
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
