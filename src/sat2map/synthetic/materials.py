"""What the surfaces of a synthetic town are like: colours from above and on the map, heights, roughness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from numpy.random import Generator

from sat2map.synthetic.layout import pick
from sat2map.synthetic.photo import Colour
from sat2map.synthetic.styles import Use

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


def choose_look(rng: Generator) -> Look:
    """Draw the materials of a town."""
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


def tinted(rng: Generator, colour: Colour, spread: float = 0.06) -> Colour:
    """The colour made a little brighter or darker."""
    return scaled(colour, 1 + spread * rng.normal())


def scaled(colour: Colour, gain: float) -> Colour:
    """The colour made brighter or darker."""
    red, green, blue = colour
    return min(int(red * gain), 255), min(int(green * gain), 255), min(int(blue * gain), 255)
