"""A QGIS Processing script that draws a map of a raster with the command sat2map.

In QGIS: Processing Toolbox, Python, *Add Script to Toolbox*. It needs sat2map with the geo extra in an
environment of its own; give the path of its command, such as /home/ann/venv/bin/sat2map.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any, ClassVar

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterFile,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

# QGIS sets these for its own Python, GDAL and PROJ; those of sat2map are others.
FOREIGN = ("PYTHONHOME", "PYTHONPATH", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA")


class TranslateToMap(QgsProcessingAlgorithm):
    """Draws a map of an orthophoto or a satellite image."""

    OUTPUTS: ClassVar = {"CLASSES": "--classes", "CONFIDENCE": "--confidence", "VECTORS": "--vectors"}

    def createInstance(self) -> TranslateToMap:  # noqa: N802 - QGIS' name
        """Return a new one, as QGIS wants for each run."""
        return TranslateToMap()

    def name(self) -> str:
        """Return the name in addresses."""
        return "sat2map_translate"

    def displayName(self) -> str:  # noqa: N802
        """Return the name for people."""
        return "Draw a map of an image (sat2map)"

    def shortHelpString(self) -> str:  # noqa: N802
        """Return the help."""
        return (
            "Draws a map of a georeferenced raster with a trained model, on the same grid. Classes, "
            "confidence and vectors are optional. The map is a guess of the model and may be wrong."
        )

    def initAlgorithm(self, config: dict[str, Any] | None = None) -> None:  # noqa: N802
        """Declare the parameters."""
        self.addParameter(QgsProcessingParameterRasterLayer("INPUT", "Raster"))
        command = QgsProcessingParameterString("COMMAND", "Command sat2map, with its path", "sat2map")
        self.addParameter(command)
        self.addParameter(
            QgsProcessingParameterFile(
                "MODEL", "Model file (without one, the bundled model)", extension="safetensors", optional=True
            )
        )
        self.addParameter(QgsProcessingParameterRasterDestination("MAP", "Map"))
        for name in ("CLASSES", "CONFIDENCE"):
            self.addParameter(
                QgsProcessingParameterRasterDestination(
                    name, name.capitalize(), optional=True, createByDefault=False
                )
            )
        self.addParameter(
            QgsProcessingParameterVectorDestination(
                "VECTORS",
                "Vectors",
                QgsProcessing.TypeVectorAnyGeometry,
                optional=True,
                createByDefault=False,
            )
        )

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run the command; its sentences go into the log."""
        source = self.parameterAsRasterLayer(parameters, "INPUT", context)
        output = self.parameterAsOutputLayer(parameters, "MAP", context)
        words = [self.parameterAsString(parameters, "COMMAND", context), "translate", source.source()]
        words += ["--output", output, "--overwrite"]
        if model := self.parameterAsFile(parameters, "MODEL", context):
            words += ["--model", model]
        results = {"MAP": output}
        for name, flag in self.OUTPUTS.items():
            if parameters.get(name):
                results[name] = self.parameterAsOutputLayer(parameters, name, context)
                words += [flag, results[name]]
        feedback.pushCommandInfo(" ".join(words))
        environment = {key: value for key, value in os.environ.items() if key not in FOREIGN}
        try:
            process = subprocess.Popen(
                words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        except OSError as error:
            raise QgsProcessingException(f"the command sat2map cannot be run: {error}") from None
        last = ""
        assert process.stdout is not None
        for line in process.stdout:
            last = line.strip() or last
            feedback.pushInfo(line.rstrip())
            if feedback.isCanceled():
                process.terminate()  # finished tiles are kept: the same run goes on from there
        if process.wait():
            raise QgsProcessingException("the run was cancelled" if feedback.isCanceled() else last)
        return results
