"""Other colours for the classes of a palette."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import SettingsError
from sat2map.images.palette.lab import pack_rgb, unpack_rgb
from sat2map.images.palette.palette import MapClass, Palette


def recolour(palette: Palette | None, colors: Palette) -> Palette:
    """Return a model's palette in other colours: those of the classes of the same names.

    A class with as many shades in both keeps its shades; any other is drawn in its first colour.

    Raises:
        SettingsError: There is no palette, or `colors` lacks a class.
    """
    if palette is None:
        raise SettingsError("the map has no classes", hint="leave the colours out", setting="colors")
    given = {map_class.name: map_class.colours for map_class in colors.classes}
    missing = [name for name in palette.names if name not in given]
    if missing:
        raise SettingsError(
            f"the colours '{colors.name}' lack the class '{missing[0]}'",
            hint=f"name a palette file with the classes {', '.join(palette.names)}",
            setting="colors",
        )
    classes = []
    for map_class in palette.classes:
        shades = given[map_class.name]
        same = len(shades) == len(map_class.colours)
        classes.append(MapClass(name=map_class.name, colours=shades if same else shades[:1]))
    return Palette(name=colors.name, classes=tuple(classes))


def repaint(image: NDArray[np.uint8], palette: Palette, drawn: Palette) -> NDArray[np.uint8]:
    """Draw a finished map in other colours, uint8 (h, w, 3): each pixel's class and shade is looked up.

    Args:
        image: The map, uint8 (h, w, 3).
        palette: The classes and the colours in which it is drawn; other colours take the nearest class.
        drawn: The same classes in other colours, from `recolour`.
    """
    packed, where = np.unique(pack_rgb(image), return_inverse=True)
    colours = unpack_rgb(packed)
    classes = palette.classify(colours)
    table = np.array([drawn.classes[number].colours[0] for number in classes], np.uint8)
    for old, new in zip(palette.classes, drawn.classes, strict=True):
        if len(old.colours) == len(new.colours):
            for before, after in zip(old.colours, new.colours, strict=True):
                table[(colours == before).all(axis=-1)] = after
    painted: NDArray[np.uint8] = table[where].reshape(image.shape)
    return painted
