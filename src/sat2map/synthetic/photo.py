"""The photograph of a painted town: trees, shadows, the grain of surfaces, air, lens and sensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

Colour = tuple[int, int, int]

LIT = 215
"""The light on level ground, of 255, which leaves room for what faces the sun."""


@dataclass(frozen=True)
class Daylight:
    """The light and the season of one photograph.

    Attributes:
        shadow: Where the shadow of something one metre high ends, in painted pixels.
        depth: How much of the light is left in a shadow.
        canopy: The two colours of the trees.
    """

    shadow: complex
    depth: float
    canopy: tuple[Colour, Colour]


def photograph(
    rng: Generator,
    colour: Image.Image,
    traits: Image.Image,
    day: Daylight,
    scale: int,
    *,
    detail: float = 1.0,
) -> NDArray[np.uint8]:
    """Photograph a painted town from above.

    Args:
        rng: Decides where trees stand, the grain and the noise.
        colour: What the surfaces look like, RGB.
        traits: Their height in metres, roughness and woodedness in 8 bits each, RGB of the same size.
        day: The light.
        scale: How many painted pixels make one of the photograph, along a side.
        detail: Pixels of the photograph in 2.1 m.

    Returns:
        The photograph, uint8 (height, width, 3), RGB.
    """
    ground, rough, woods = traits.split()
    height = np.array(ground)
    light = _grow_trees(rng, colour, height, woods, day, detail)
    light[_shadows(height, day.shadow)] *= day.depth
    shading = Image.fromarray(light.astype(np.uint8))
    picture = ImageChops.multiply(colour, Image.merge("RGB", [shading] * 3))
    pixels = np.asarray(picture.reduce(scale), np.float32)
    side = len(pixels)
    grain = 0.7 * rng.standard_normal((side, side), np.float32) + 0.5 * _noise(rng, side, 3)
    grain *= np.asarray(rough.reduce(scale), np.float32) / 255
    grain += 1 + 0.05 * _noise(rng, side, 40 * detail)
    return _develop(rng, pixels * grain[..., None])


def _noise(rng: Generator, side: int, cell: float) -> NDArray[np.float32]:
    """Smooth noise (side, side) with bumps about `cell` pixels wide, of a deviation somewhat below 1."""
    count = math.ceil(side / cell) + 3
    coarse = Image.fromarray(rng.standard_normal((count, count), np.float32))
    box = (1, 1, 1 + side / cell, 1 + side / cell)
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC, box))


def _grow_trees(
    rng: Generator,
    colour: Image.Image,
    height: NDArray[np.uint8],
    woods: Image.Image,
    day: Daylight,
    detail: float,
) -> NDArray[np.float32]:
    """Paint crowns where the ground is wooded, raise the ground there, and return the light in [0, 255]."""
    side = len(height)
    crowns = 0.75 * _noise(rng, side, 6 * detail) + 0.55 * _noise(rng, side, 14 * detail)
    density = (
        np.asarray(woods.filter(ImageFilter.BoxBlur(2 * detail)), np.float32) / 255
    )  # crowns reach over the kerb
    canopy = (crowns > 2.2 - 4.2 * density) & (density > 0.05)
    colour.paste(day.canopy[0], mask=Image.fromarray(canopy))
    colour.paste(day.canopy[1], mask=Image.fromarray(canopy & (_noise(rng, side, 12 * detail) > 0.3)))
    height[canopy] = np.clip(6 + 2 * crowns[canopy], 3, 12)
    towards_sun = -2 * detail * day.shadow / abs(day.shadow)
    slope = crowns - np.roll(crowns, (-round(towards_sun.imag), -round(towards_sun.real)), (0, 1))
    light = np.full((side, side), LIT, np.float32)
    light[canopy] = np.clip(190 + 110 * slope[canopy], 90, 255)
    return light


def _shadows(height: NDArray[np.uint8], fall: complex) -> NDArray[np.bool_]:
    """Where the sun does not reach: what stands towards it is higher than the light is there."""
    shade = np.zeros(height.shape, bool)
    rows, columns = height.shape
    for distance in range(1, int(height.max() * abs(fall)) + 1, 2):
        step = fall / abs(fall) * distance
        x, y = round(step.real), round(step.imag)
        if max(abs(x), abs(y)) >= min(rows, columns):
            break
        here = np.s_[max(y, 0) : rows + min(y, 0), max(x, 0) : columns + min(x, 0)]
        there = np.s_[max(-y, 0) : rows + min(-y, 0), max(-x, 0) : columns + min(-x, 0)]
        shade[here] |= height[there] > height[here] + np.uint8(distance / abs(fall))
    return shade


def _develop(rng: Generator, pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Give a picture in [0, 255] its saturation, exposure, colour cast, haze, noise and blur."""
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * rng.uniform(0.4, 1)
    pixels *= (rng.uniform(0.75, 1.4) * rng.normal(1, 0.03, 3)).astype(np.float32)
    pixels += (np.array([150, 160, 172], np.float32) - pixels) * rng.uniform(0, 0.22) ** 1.3
    pixels += rng.uniform(1, 5) * rng.standard_normal(pixels.shape, np.float32)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.6))))
