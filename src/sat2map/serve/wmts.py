"""WMTS 1.0 (OGC 07-057r7): capabilities of the live maps in the well-known web mercator tile matrix set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

import morecantile

from sat2map.serve.map_layers import MapLayer, offered_zoom

OWS = "http://www.opengis.net/ows/1.1"
WMTS = "http://www.opengis.net/wmts/1.0"
XLINK = "http://www.w3.org/1999/xlink"
MATRIX_SET = "WebMercatorQuad"

for _prefix, _uri in (("", WMTS), ("ows", OWS), ("xlink", XLINK)):
    ET.register_namespace(_prefix, _uri)


class WmtsLayer(NamedTuple):
    """A layer, the address of its tiles with {z}, {x} and {y}, and that of its legend, if it has one."""

    layer: MapLayer
    template: str
    legend: str | None


def capabilities(layers: Sequence[WmtsLayer], kvp: str, rest: str) -> bytes:
    """Return a capabilities document.

    Args:
        layers: The layers.
        kvp: Address of requests with parameters in the query, ending with ? or &.
        rest: Address of this document.
    """
    root = ET.Element(f"{{{WMTS}}}Capabilities", {"version": "1.0.0"})
    service = _add(root, OWS, "ServiceIdentification")
    _add(service, OWS, "Title", "sat2map")
    _add(service, OWS, "Abstract", "Maps that a model draws of aerial and satellite images.")
    _add(service, OWS, "ServiceType", "OGC WMTS")
    _add(service, OWS, "ServiceTypeVersion", "1.0.0")
    operations = _add(root, OWS, "OperationsMetadata")
    for name in ("GetCapabilities", "GetTile"):
        http = _add(_add(_add(operations, OWS, "Operation", name=name), OWS, "DCP"), OWS, "HTTP")
        get = _add(http, OWS, "Get")
        get.set(f"{{{XLINK}}}href", kvp)
        values = _add(_add(get, OWS, "Constraint", name="GetEncoding"), OWS, "AllowedValues")
        _add(values, OWS, "Value", "KVP")
    contents = _add(root, WMTS, "Contents")
    for layer in layers:
        _add_layer(contents, layer)
    _add_matrix_set(contents, max((offered_zoom(one.layer) for one in layers), default=0))
    _add(root, WMTS, "ServiceMetadataURL").set(f"{{{XLINK}}}href", rest)
    return _document(root)


def exception_report(code: str, locator: str, text: str) -> bytes:
    """Return an OWS exception report, which WMTS clients expect instead of a problem detail."""
    root = ET.Element(f"{{{OWS}}}ExceptionReport", {"version": "1.1.0"})
    exception = _add(root, OWS, "Exception", exceptionCode=code, locator=locator)
    _add(exception, OWS, "ExceptionText", text)
    return _document(root)


def _document(root: ET.Element) -> bytes:
    text: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text


def _add_layer(contents: ET.Element, one: WmtsLayer) -> None:
    layer = one.layer
    west, south, east, north = layer.raster.coverage.bounds
    node = _add(contents, WMTS, "Layer")
    _add(node, OWS, "Title", layer.title)
    box = _add(node, OWS, "WGS84BoundingBox")
    _add(box, OWS, "LowerCorner", f"{west:.8f} {south:.8f}")
    _add(box, OWS, "UpperCorner", f"{east:.8f} {north:.8f}")
    _add(node, OWS, "Identifier", layer.name)
    style = _add(node, WMTS, "Style", isDefault="true")
    _add(style, OWS, "Identifier", "default")
    if one.legend:
        _add(style, WMTS, "LegendURL", format="image/png").set(f"{{{XLINK}}}href", one.legend)
    _add(node, WMTS, "Format", "image/png")
    link = _add(node, WMTS, "TileMatrixSetLink")
    _add(link, WMTS, "TileMatrixSet", MATRIX_SET)
    limits = _add(link, WMTS, "TileMatrixSetLimits")
    for zoom in range(layer.min_zoom, offered_zoom(layer) + 1):
        limit = _add(limits, WMTS, "TileMatrixLimits")
        for name, value in layer.raster.tile_limits(zoom).items():
            _add(limit, WMTS, name[0].upper() + name[1:], str(value))
    template = one.template
    for short, name in (("{z}", "{TileMatrix}"), ("{y}", "{TileRow}"), ("{x}", "{TileCol}")):
        template = template.replace(short, name)
    _add(node, WMTS, "ResourceURL", format="image/png", resourceType="tile", template=template)


def _add_matrix_set(contents: ET.Element, max_zoom: int) -> None:
    node = _add(contents, WMTS, "TileMatrixSet")
    _add(node, OWS, "Identifier", MATRIX_SET)
    _add(node, OWS, "SupportedCRS", "urn:ogc:def:crs:EPSG::3857")
    _add(node, WMTS, "WellKnownScaleSet", "urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible")
    for one in morecantile.tms.get(MATRIX_SET).tileMatrices[: max_zoom + 1]:
        matrix = _add(node, WMTS, "TileMatrix")
        _add(matrix, OWS, "Identifier", one.id)
        _add(matrix, WMTS, "ScaleDenominator", repr(one.scaleDenominator))
        _add(matrix, WMTS, "TopLeftCorner", " ".join(repr(value) for value in one.pointOfOrigin))
        for name in ("TileWidth", "TileHeight", "MatrixWidth", "MatrixHeight"):
            _add(matrix, WMTS, name, str(getattr(one, name[0].lower() + name[1:])))


def _add(
    parent: ET.Element, space: str, tag: str, text: str | None = None, /, **attributes: str
) -> ET.Element:
    node = ET.SubElement(parent, f"{{{space}}}{tag}", attributes)
    node.text = text
    return node
