"""The part of `check.py` that runs in PyQGIS: opens each output as QGIS does, checks and renders it.

Usage: open_outputs.py FOLDER ADDRESS PICTURE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsMapLayer,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
    QgsVectorTileLayer,
)
from qgis.PyQt.QtCore import QSize, Qt
from qgis.PyQt.QtGui import QColor, QFont, QImage, QPainter

SIDE = 420  # px of a rendered layer
LEGEND = 130  # px beside it
CRS = QgsCoordinateReferenceSystem("EPSG:3857")
Palette = dict[str, str]  # colour of each class, #rrggbb


def main() -> int:
    """Check all outputs; return how many checks failed."""
    folder, address, picture = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    palette = {
        one["name"]: "#{:02x}{:02x}{:02x}".format(*one["colours"][0])
        for one in json.loads((folder / "palette.json").read_text())["classes"]
    }
    every = {
        "#{:02x}{:02x}{:02x}".format(*colour)
        for one in json.loads((folder / "palette.json").read_text())["classes"]
        for colour in one["colours"]
    }
    panels = [
        ("GeoPackage", *geopackage(folder / "town.gpkg")),
        ("class raster", *class_raster(folder / "classes.tif")),
        ("vector tiles", *vector_tiles(address)),
        ("WMTS", *wmts(address, palette)),
    ]
    failed, images = 0, []
    for name, layers, found in panels:
        image = render(layers)
        images.append((name, image, found))
        shown = colours(image)
        known = sum(count for colour, count in shown.items() if colour in every) / sum(shown.values())
        problems = [
            f"{one} is {found.get(one)}, not {palette[one]}"
            for one in palette
            if found.get(one) != palette[one]
        ]
        problems += (
            [f"{len(shown)} colours, {known:.0%} of the palette"] if known < 0.95 or len(shown) < 3 else []
        )
        failed += bool(problems)
        verdict = "; ".join(problems) or "names and colours are those of the palette"
        print(f"{name}: {verdict} ({known:.1%} of the pixels)")
    failed += processing_script(folder)
    mosaic(images).save(str(picture))
    print(f"look at {picture}")
    return failed


def geopackage(path: Path) -> tuple[list[QgsMapLayer], Palette]:
    """Open all layers of a GeoPackage; the constructor applies the default style, as a click on it would."""
    whole = QgsVectorLayer(str(path), "all", "ogr")
    names = [text.split("!!::!!")[1] for text in whole.dataProvider().subLayers()]
    layers = [QgsVectorLayer(f"{path}|layername={name}", name, "ogr") for name in names]
    found = {layer.name(): layer.renderer().symbol().color().name() for layer in layers}
    return [layer for layer in layers if layer.geometryType() == 2], found


def class_raster(path: Path) -> tuple[list[QgsMapLayer], Palette]:
    """Open a class raster."""
    layer = QgsRasterLayer(str(path), "classes")
    return [layer], {one.label: one.color.name() for one in layer.renderer().classes()}


def vector_tiles(address: str) -> tuple[list[QgsMapLayer], Palette]:
    """Open vector tiles with the address of their style, as the dialog of a connection does."""
    base = f"{address}/rasters/town:classes"
    about = f"zmin=12&zmax=15&styleUrl={base}/style.json"
    layer = QgsVectorTileLayer(f"type=xyz&url={base}/tiles/{{z}}/{{x}}/{{y}}.pbf&{about}", "vector tiles")
    layer.loadDefaultStyle()
    return [layer], {one.styleName(): one.symbol().color().name() for one in layer.renderer().styles()}


def wmts(address: str, palette: Palette) -> tuple[list[QgsMapLayer], Palette]:
    """Open a WMTS layer; names and colours are read from the picture that its legend is."""
    url = f"{address}/wmts?service%3DWMTS%26request%3DGetCapabilities"
    about = "crs=EPSG:3857&format=image/png&layers=town&styles=default&tileMatrixSet=WebMercatorQuad"
    layer = QgsRasterLayer(f"{about}&url={url}", "WMTS", "wms")
    legends: list[QImage] = []
    fetcher = layer.dataProvider().getLegendGraphicFetcher(QgsMapSettings())
    if fetcher is not None:
        fetcher.finish.connect(legends.append)
        fetcher.start()
        for _ in range(200):
            QgsApplication.processEvents()
            if legends:
                break
            QgsApplication.instance().thread().msleep(50)
    # A swatch for each class, in their order; the names beside them are the service's text.
    swatches = (
        [legends[0].pixelColor(11, 20 * row + 10).name() for row in range(len(palette))] if legends else []
    )
    return [layer], dict(zip(palette, swatches, strict=False))


def processing_script(folder: Path) -> int:
    """Load the Processing script, run it, and open what it wrote."""
    sys.path.insert(0, "/usr/share/qgis/python/plugins")
    from processing.core.Processing import Processing
    from processing.script.ScriptUtils import loadAlgorithm
    from qgis.core import QgsProcessingContext, QgsProcessingFeedback

    Processing.initialize()
    algorithm = loadAlgorithm("sat2map_translate", str(folder / "sat2map_translate.py"))
    if algorithm is None:
        print("Processing script: QGIS cannot load it")
        return 1
    algorithm.initAlgorithm({})
    values = {
        "INPUT": str(folder / "rasters" / "town.tif"), "COMMAND": str(folder / "sat2map"),
        "MAP": str(folder / "by-qgis.tif"), "CLASSES": str(folder / "by-qgis-classes.tif"),
    }  # fmt: skip
    feedback = QgsProcessingFeedback()
    results, good = algorithm.run(values, QgsProcessingContext(), feedback)
    layer = QgsRasterLayer(results.get("CLASSES", ""), "by the script")
    good = good and layer.isValid() and layer.renderer().type() == "paletted"
    print(f"Processing script: {'ran, and its classes have the palette' if good else feedback.textLog()}")
    return not good


def render(layers: list[QgsMapLayer]) -> QImage:
    """Draw layers as the map canvas does, without smoothing."""
    settings = QgsMapSettings()
    settings.setLayers(list(reversed(layers)))
    settings.setDestinationCrs(CRS)
    settings.setOutputSize(QSize(SIDE, SIDE))
    settings.setBackgroundColor(QColor(Qt.transparent))
    settings.setFlag(QgsMapSettings.Antialiasing, False)
    settings.setExtent(extent())
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    return job.renderedImage()


def extent() -> QgsRectangle:
    """Return the middle of the town."""
    raster = QgsRasterLayer(str(Path(sys.argv[1]) / "classes.tif"), "where")
    to_map = QgsCoordinateTransform(raster.crs(), CRS, QgsProject.instance())
    box = to_map.transformBoundingBox(raster.extent())
    box.scale(0.8)
    return box


def colours(image: QImage) -> dict[str, int]:
    """Count the opaque colours of an image."""
    found: dict[str, int] = {}
    for y in range(0, image.height(), 3):
        for x in range(0, image.width(), 3):
            colour = image.pixelColor(x, y)
            if colour.alpha() == 255:
                found[colour.name()] = found.get(colour.name(), 0) + 1
    return found or {"nothing": 1}


def mosaic(panels: list[tuple[str, QImage, Palette]]) -> QImage:
    """Put the rendered layers side by side, with the names and colours that QGIS shows."""
    whole = QImage((SIDE + LEGEND) * 2, (SIDE + 26) * 2, QImage.Format_RGB32)
    whole.fill(QColor("#ffffff"))
    painter = QPainter(whole)
    painter.setFont(QFont("DejaVu Sans", 9))
    for number, (name, image, found) in enumerate(panels):
        left, top = number % 2 * (SIDE + LEGEND), number // 2 * (SIDE + 26)
        painter.setPen(QColor("black"))
        painter.drawText(left + 4, top + 17, name)
        painter.drawImage(left, top + 26, image)
        for row, (label, colour) in enumerate(list(found.items())[:16]):
            y = top + 34 + 20 * row
            painter.fillRect(left + SIDE + 8, y, 14, 14, QColor(colour))
            painter.drawRect(left + SIDE + 8, y, 14, 14)
            painter.drawText(left + SIDE + 28, y + 12, label)
    painter.end()
    return whole


if __name__ == "__main__":
    application = QgsApplication([], False)
    application.initQgis()
    status = main()
    application.exitQgis()
    sys.exit(status)
