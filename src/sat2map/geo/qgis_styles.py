"""How QGIS and MapLibre show the outputs at first opening: in the palette's colours and names."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from sat2map.images.palette import Palette

if TYPE_CHECKING:
    from sat2map.geo.vector_output import VectorLayer

RGB = tuple[int, int, int]
TILE_LAYER: Final = "map"  # of vector tiles
_LINE_WIDTH = "0.6"  # mm
_RAMP: Final = ((0, (165, 0, 38)), (50, (253, 174, 97)), (75, (255, 255, 191)), (100, (26, 150, 65)))
_STYLES = """CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT,
owner TEXT(30), ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"""


def add_layer_styles(geopackage: Path, layers: Sequence[VectorLayer]) -> None:
    """Add the table `layer_styles`, in which QGIS looks for the style of each layer of a GeoPackage."""
    with contextlib.closing(sqlite3.connect(geopackage)) as box, box:
        box.execute(_STYLES)
        box.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles')"
        )
        for layer in layers:
            box.execute(
                "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, "
                "styleName, styleQML, useAsDefault, description) VALUES ('', '', ?, 'geom', ?, ?, 1, '')",
                (layer.name, layer.name, single_qml(layer.colour, lines=layer.lines)),
            )


def single_qml(colour: RGB, *, lines: bool) -> str:
    """Return a QGIS style that draws all features in one colour."""
    renderer = Xml.Element("renderer-v2", type="singleSymbol", symbollevels="0", enableorderby="0")
    _add_symbol(Xml.SubElement(renderer, "symbols"), "0", colour, lines=lines)
    return _qgis(renderer)


def categorised_qml(layers: Sequence[VectorLayer], *, lines: bool) -> str:
    """Return a QGIS style that draws features in the colour of their field `class`."""
    renderer = Xml.Element("renderer-v2", type="categorizedSymbol", attr="class", symbollevels="0")
    categories, symbols = Xml.SubElement(renderer, "categories"), Xml.SubElement(renderer, "symbols")
    for number, (name, colour) in enumerate({layer.map_class: layer.colour for layer in layers}.items()):
        Xml.SubElement(categories, "category", symbol=str(number), value=name, label=name, render="true")
        only_lines = lines and all(layer.lines for layer in layers)
        _add_symbol(symbols, str(number), colour, lines=only_lines)
    return _qgis(renderer)


def classes_qml(palette: Palette) -> str:
    """Return a QGIS style for a raster of class numbers."""
    return paletted_qml([(number, one.name, one.colours[0]) for number, one in enumerate(palette.classes)])


def paletted_qml(entries: Sequence[tuple[int, str, RGB]]) -> str:
    """Return a QGIS style for a raster of numbers: its values, their names and colours."""
    pipe = Xml.Element("pipe")
    renderer = Xml.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    listed = Xml.SubElement(renderer, "colorPalette")
    for value, name, colour in entries:
        attributes = {"value": str(value), "color": _hex(colour), "alpha": "255", "label": name}
        Xml.SubElement(listed, "paletteEntry", attributes)
    return _qgis(pipe)


def ramp_colours() -> NDArray[np.uint8]:
    """Return the colours that `confidence_qml` gives 0 to 100 percent, uint8 (101, 3)."""
    stops, colours = [stop for stop, _ in _RAMP], np.array([colour for _, colour in _RAMP])
    bands = [np.interp(np.arange(101), stops, colours[:, band]) for band in range(3)]
    ramp: NDArray[np.uint8] = np.rint(np.stack(bands, axis=-1)).astype(np.uint8)
    return ramp


def confidence_qml() -> str:
    """Return a QGIS style for a raster of confidence in percent: red to green."""
    pipe = Xml.Element("pipe")
    renderer = Xml.SubElement(
        pipe, "rasterrenderer", type="singlebandpseudocolor", band="1", opacity="1", alphaBand="-1",
        classificationMin="0", classificationMax="100",
    )  # fmt: skip
    shader = Xml.SubElement(renderer, "rastershader")
    ramp = Xml.SubElement(
        shader, "colorrampshader", colorRampType="INTERPOLATED", classificationMode="1", clip="0",
        minimumValue="0", maximumValue="100",
    )  # fmt: skip
    for value, colour in _RAMP:
        Xml.SubElement(ramp, "item", value=str(value), color=_hex(colour), alpha="255", label=f"{value} %")
    return _qgis(pipe)


def category_names_xml(names: Sequence[str]) -> str:
    """Return GDAL's .aux.xml with the names of a class raster's values."""
    root = Xml.Element("PAMDataset")
    listed = Xml.SubElement(Xml.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for name in names:
        Xml.SubElement(listed, "Category").text = name
    return Xml.tostring(root, encoding="unicode") + "\n"


class StyledLayer(NamedTuple):
    """A layer of a MapLibre style: it draws lines, or else polygons, whose field `class` is `map_class`."""

    name: str
    map_class: str
    colour: RGB
    lines: bool = False


def maplibre_style(name: str, source: dict[str, Any], layers: Iterable[StyledLayer]) -> dict[str, Any]:
    """Return a MapLibre style for vector tiles, lines above polygons.

    The source says where the tiles are, as MapLibre has it.
    """
    drawn = []
    for layer in sorted(layers, key=lambda layer: layer.lines):
        kind = "LineString" if layer.lines else "Polygon"
        shape: dict[str, Any] = {"type": "fill", "paint": {"fill-color": _hex(layer.colour)}}
        if layer.lines:
            paint = {"line-color": _hex(layer.colour), "line-width": 2}
            shape = {"type": "line", "paint": paint, "layout": {"line-cap": "round", "line-join": "round"}}
        wanted = ["all", ["==", ["get", "class"], layer.map_class], ["==", ["geometry-type"], kind]]
        drawn.append(
            {"id": layer.name, "source": "map", "source-layer": TILE_LAYER, "filter": wanted, **shape}
        )
    return {"version": 8, "name": name, "sources": {"map": {"type": "vector", **source}}, "layers": drawn}


def _qgis(child: Xml.Element) -> str:
    root = Xml.Element("qgis", version="3.22", styleCategories="Symbology")
    root.append(child)
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + Xml.tostring(
        root, encoding="unicode"
    )


def _add_symbol(symbols: Xml.Element, name: str, colour: RGB, *, lines: bool) -> None:
    symbol = Xml.SubElement(symbols, "symbol", name=name, type="line" if lines else "fill", alpha="1")
    rgba = ",".join(map(str, (*colour, 255)))
    options = {"color": rgba, "style": "solid", "outline_style": "no"}
    if lines:
        options = {
            "line_color": rgba,
            "line_width": _LINE_WIDTH,
            "line_width_unit": "MM",
            "line_style": "solid",
        }
    layer = Xml.SubElement(
        symbol, "layer", {"class": "SimpleLine" if lines else "SimpleFill", "enabled": "1", "pass": "0"}
    )
    listed = Xml.SubElement(layer, "Option", type="Map")
    for key, value in options.items():
        Xml.SubElement(listed, "Option", name=key, value=value, type="QString")
        Xml.SubElement(layer, "prop", k=key, v=value)  # as QGIS before 3.26 reads it


def _hex(colour: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
