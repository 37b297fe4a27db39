"""The classes of a palette as STAC's classification extension writes them."""

from __future__ import annotations

import re
from typing import Any

from sat2map.images.palette.palette import Palette


def describe_classes(palette: Palette) -> list[dict[str, Any]]:
    """Return the classes of a palette as the classification extension has them."""
    return [
        {
            "value": number,
            "name": _plain_name(map_class.name),
            "title": map_class.name,
            "description": map_class.name,
            "color_hint": "{:02X}{:02X}{:02X}".format(*map_class.colours[0]),
        }
        for number, map_class in enumerate(palette.classes)
    ]


def _plain_name(name: str) -> str:
    """Return a name of ASCII letters, digits, - and _, which is all that the extension allows."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
