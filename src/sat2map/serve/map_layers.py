"""The layers of a raster: its map, the map's classes, the model's confidence, and the raster itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from sat2map.errors import ImageError
from sat2map.geo.web_mercator import HIGHEST_ZOOM
from sat2map.images.palette import Palette
from sat2map.serve.http_errors import NotFoundError
from sat2map.serve.raster_folder import RasterFile
from sat2map.serve.served_models import ServedModel

Kind = Literal["map", "classes", "confidence", "imagery"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
OVERVIEWS: Final = 3  # zooms below the model's own that are averaged from it; each takes four times the work
_VERSION: Final = 3  # of what a tile looks like; raise it when that changes, as clients keep tiles


@dataclass(frozen=True)
class MapLayer:
    """What a model draws of a raster, as a layer of tiles."""

    raster: RasterFile
    model: ServedModel
    kind: Kind = "map"

    @property
    def name(self) -> str:
        """What clients call it everywhere: the raster's name for its map, else NAME:KIND."""
        return self.raster.name if self.kind == "map" else f"{self.raster.name}:{self.kind}"

    @property
    def title(self) -> str:
        """Name for people."""
        return f"{self.raster.name}: {self.kind}"

    @property
    def palette(self) -> Palette | None:
        """Classes of the map in the colours in which they are drawn."""
        return self.model.background_translator.drawer.palette

    @property
    def zoom(self) -> int:
        """Where a pixel is about as large on the ground as the model's; lower zooms are averaged from it."""
        return self.raster.zoom_for(self.model.header.gsd)

    @property
    def min_zoom(self) -> int:
        """The lowest zoom that has tiles."""
        return 0 if self.kind == "imagery" else max(0, self.zoom - OVERVIEWS)

    @property
    def max_zoom(self) -> int:
        """The zoom of the raster's own resolution; above it tiles are enlarged."""
        return self.raster.max_zoom

    @property
    def identity(self) -> tuple[str, ...]:
        """What a tile depends on, beside its place and kind: the raster, the model, the colours."""
        if self.kind == "imagery":
            return (self.raster.identity,)
        return self.raster.identity, self.model.sha256, self.palette.to_json() if self.palette else ""

    def etag(self, *which: object) -> str:
        """Return a validator for what is shown of it, which is known before that is."""
        parts = (_VERSION, self.kind, *self.identity, *which)
        return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"'


def offered_zoom(layer: MapLayer) -> int:
    """Return the highest zoom that clients are offered: one above the raster's own resolution."""
    return min(layer.max_zoom + 1, HIGHEST_ZOOM)


def layers_of(raster: RasterFile, model: ServedModel) -> list[MapLayer]:
    """Return what a model can show of a raster."""
    layers = [MapLayer(raster, model, kind) for kind in KINDS]
    missing = {"classes"} if layers[0].palette is None else set()
    missing |= set() if model.header.generator.colours else {"confidence"}
    return [layer for layer in layers if layer.kind not in missing]


def find_layer(rasters: Mapping[str, RasterFile | str], name: str, model: ServedModel) -> MapLayer:
    """Return a layer by name.

    Raises:
        NotFoundError: There is none.
        ImageError: Its raster cannot be shown.
    """
    raster, _, kind = (name, "", "map") if name in rasters else name.rpartition(":")
    found = rasters.get(raster)
    if isinstance(found, str):
        raise ImageError(found)
    for layer in [] if found is None else layers_of(found, model):
        if layer.kind == kind:
            return layer
    raise NotFoundError(f"no layer is called {name!r}")


def check_tile(zoom: int, x: int, y: int) -> None:
    """Refuse a tile beyond the edge of the world.

    Raises:
        NotFoundError: There is no such tile.
    """
    if not 0 <= zoom <= HIGHEST_ZOOM or not 0 <= min(x, y) <= max(x, y) < 1 << zoom:
        raise NotFoundError(f"there is no tile {x}, {y} at zoom {zoom}")
