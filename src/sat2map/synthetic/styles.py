"""Kinds of towns: how blocks are cut and used, and what crosses a scene."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sat2map.synthetic.plane import Range

Use = Literal["yards", "plaza", "works", "estate", "park", "wood", "pitch", "parking", "lawn", "bare"]
"""What the ground of a block is; in yards, plazas, works and estates it shows between the buildings."""


@dataclass(frozen=True)
class BlockStyle:
    """How the blocks of a district are cut up and built over; lengths are in output pixels, of 2.1 m.

    Attributes:
        depth: Of a block, from one street to the next.
        length: Of a block, along its longer streets.
        street: Widths.
        lot: Widths of the buildings along the street.
        gap: Between neighbours.
        setback: From the street to the buildings.
        yard: Between the two rows of a block.
        floors: Of a building.
        pitched: The share of buildings without a flat roof.
        uses: What blocks are used for, with weights.
    """

    depth: Range = (0, 0)
    length: Range = (0, 0)
    street: Range = (0, 0)
    lot: Range = (0, 0)
    gap: Range = (0, 0)
    setback: Range = (0, 0)
    yard: Range = (0, 0)
    floors: Range = (1, 2)
    pitched: float = 0
    uses: dict[Use, float] = field(default_factory=dict)


STYLES = {
    "downtown": BlockStyle(
        depth=(34, 50), length=(50, 100), street=(6, 8), lot=(8, 18), gap=(0, 0.8),
        setback=(1.2, 2), yard=(0, 4), floors=(3, 14), pitched=0,
        uses={"plaza": 8, "park": 0.7, "parking": 0.9, "works": 0.5, "bare": 0.2},
    ),
    "rows": BlockStyle(
        depth=(26, 38), length=(60, 130), street=(5, 7), lot=(4.5, 8), gap=(0, 1),
        setback=(1.5, 3), yard=(4, 8), floors=(2, 5), pitched=0.12,
        uses={"yards": 9, "estate": 1, "park": 0.7, "parking": 0.6, "works": 0.5, "lawn": 0.3, "bare": 0.3},
    ),
    "suburb": BlockStyle(
        depth=(32, 44), length=(70, 150), street=(5, 6), lot=(6.5, 9.5), gap=(2.5, 5),
        setback=(4, 6), yard=(9, 14), floors=(1.5, 2.5), pitched=0.9,
        uses={"yards": 10, "park": 0.9, "lawn": 0.8, "estate": 0.5},
    ),
    "works": BlockStyle(
        depth=(55, 90), length=(70, 130), street=(6, 8), lot=(18, 42), gap=(3, 9),
        setback=(3, 6), yard=(4, 12), floors=(2, 4), pitched=0,
        uses={"works": 7, "parking": 1.2, "bare": 0.5, "lawn": 0.8, "estate": 1.5},
    ),
    # The slabs of a block used as an estate, and a district that is all park.
    "estate": BlockStyle(
        depth=(9, 13), lot=(16, 34), gap=(6, 10), setback=(3, 6), yard=(9, 15), floors=(4, 9)
    ),
    "park": BlockStyle(pitched=0.7),
}  # fmt: skip


@dataclass(frozen=True)
class SceneStyle:
    """A kind of picture.

    Attributes:
        share: How often it is drawn, relative to the others.
        styles: The styles of its districts, with weights.
        bend: The largest displacement of its streets.
        highways: How many cross a picture of 256 pixels, on average.
        waters: The chief water, with weights.
        interchange: Two highways meet in it.
    """

    share: float
    styles: dict[str, float]
    bend: float
    highways: float
    waters: dict[Literal["none", "river", "lake", "sea"], float]
    interchange: bool = False


SCENES = {
    "urban": SceneStyle(3, {"downtown": 3, "rows": 5, "park": 0.4}, 4, 0.45, {"none": 9, "river": 1}),
    "suburban": SceneStyle(
        3, {"suburb": 6, "rows": 2, "park": 0.4}, 14, 0.4, {"none": 8, "river": 1, "lake": 1}
    ),
    "green": SceneStyle(
        2.5, {"park": 5, "rows": 3, "suburb": 3}, 8, 0.35, {"none": 6, "river": 1, "lake": 2}
    ),
    "waterfront": SceneStyle(
        3, {"downtown": 3, "rows": 3, "works": 3, "park": 1}, 5, 0.4, {"river": 1, "sea": 1.4}
    ),
    "interchange": SceneStyle(2.5, {"rows": 3, "suburb": 3, "works": 4}, 6, 0, {"none": 7, "river": 1}, True),
}
