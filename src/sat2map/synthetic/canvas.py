"""The canvas on which a synthetic town is painted: three pictures at once, and the polygons of the map."""

from __future__ import annotations

from PIL import Image, ImageDraw

from sat2map.synthetic.layout import MARGIN, Building
from sat2map.synthetic.materials import MAP, PAVED, Traits
from sat2map.synthetic.photo import Colour
from sat2map.synthetic.plane import Shape, centre, dense

SCALE = 2
"""Both pictures are painted this many times larger and averaged down, so their edges are equally smooth."""

Polygon = tuple[Colour, Shape]
"""What was painted on the map: its colour, and its outline in output pixels."""


class Canvas:
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
