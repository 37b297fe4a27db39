"""Runs inside QGIS' own window (`qgis --code`): opens the outputs, and takes a picture of the window.

The environment has the folder of the outputs (SAT2MAP_OUTPUTS) and the picture to write (SAT2MAP_PICTURE).
"""

from __future__ import annotations

import os
from pathlib import Path

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QTimer
from qgis.utils import iface

folder = Path(os.environ["SAT2MAP_OUTPUTS"])
iface.mainWindow().resize(1280, 800)
for name in ("Browser", "BrowserPanel", "Browser2"):
    dock = iface.mainWindow().findChild(object, name)
    if dock is not None:
        dock.close()
photo = iface.addRasterLayer(str(folder / "rasters" / "town.tif"), "town")
QgsProject.instance().setCrs(photo.crs())
classes = iface.addRasterLayer(str(folder / "classes.tif"), "classes")
for name in ("land", "park", "water", "road", "highway", "building", "road_centre"):
    iface.addVectorLayer(f"{folder / 'town.gpkg'}|layername={name}", name, "ogr")
root = QgsProject.instance().layerTreeRoot()
for node in root.children():
    node.setExpanded(node.name() == "classes")
box = photo.extent()
box.scale(0.5)
iface.mapCanvas().setExtent(box)
iface.mapCanvas().refresh()


def grab() -> None:
    """Take the picture and leave."""
    iface.mainWindow().grab().save(os.environ["SAT2MAP_PICTURE"])
    os._exit(0)  # no question whether the project should be saved


QTimer.singleShot(8000, grab)
