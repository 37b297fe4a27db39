"""The plain way to make vectors of a map: polygonize, simplify, write; what `vectorize` races.

python benchmarks/plain_vectors.py CLASSES.tif OUTPUT.gpkg
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from rasterio.features import shapes


def main() -> None:
    source, output = sys.argv[1:]
    with rasterio.open(source) as file:
        found = list(shapes(file.read(1), transform=file.transform))
        pixel, crs = abs(file.transform.a), file.crs.to_string()
    geometries: list[Any] = [shapely.geometry.shape(shape) for shape, _ in found]
    simple = shapely.simplify(np.array(geometries, object), pixel)
    classes = np.array([value for _, value in found], np.int32)
    pyogrio.raw.write(
        output, shapely.to_wkb(simple), [classes], ["class"], geometry_type="Polygon", crs=crs, driver="GPKG"
    )


if __name__ == "__main__":
    main()
