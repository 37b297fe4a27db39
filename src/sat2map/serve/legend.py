"""The legend of a layer as a picture, for clients of WMTS."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sat2map.geo.qgis_styles import ramp_colours
from sat2map.images.png import encode_png
from sat2map.serve.map_layers import MapLayer

ROW: Final = 20  # px
_SWATCH: Final = 14  # px
_STEPS: Final = (100, 75, 50, 25, 0)  # percent of confidence


def draw_legend(layer: MapLayer) -> bytes:
    """Return the legend as PNG: a row for each class, or for steps of the confidence."""
    if layer.kind == "confidence":
        ramp = ramp_colours()
        rows = [(tuple(int(v) for v in ramp[step]), f"{step} %") for step in _STEPS]
    elif layer.kind == "imagery" or layer.palette is None:
        rows = []
    else:
        rows = [(one.colours[0], one.name) for one in layer.palette.classes]
    font = ImageFont.load_default(13)
    width = 2 * ROW + max((round(font.getlength(name)) for _, name in rows), default=0)
    image = Image.new("RGB", (width, max(1, len(rows)) * ROW), "white")
    draw = ImageDraw.Draw(image)
    for number, (colour, name) in enumerate(rows):
        top = number * ROW + (ROW - _SWATCH) // 2
        draw.rectangle((4, top, 4 + _SWATCH, top + _SWATCH), fill=colour, outline="#777777")
        draw.text((ROW + 6, number * ROW + ROW // 2), name, fill="black", font=font, anchor="lm")
    return encode_png(np.asarray(image))
