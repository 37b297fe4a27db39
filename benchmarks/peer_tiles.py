"""The plain way to serve a model's map as web tiles: rio-tiler reads, ONNX Runtime runs, Pillow writes.

    python benchmarks/peer_tiles.py RASTER GRAPH.onnx FOLDER

The graph takes float32 (1, 3, 256, 256) in [-1, 1] and gives logits of colours. It uses nothing of sat2map.
"""

from __future__ import annotations

import sys
from pathlib import Path

import morecantile
import numpy as np
import onnxruntime
from PIL import Image
from rio_tiler.io import Reader


def main() -> None:
    raster, graph, folder = (Path(argument) for argument in sys.argv[1:])
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    grid = morecantile.tms.get("WebMercatorQuad")
    folder.mkdir(parents=True)
    with Reader(str(raster)) as reader:
        west, south, east, north = reader.get_geographic_bounds(grid.rasterio_geographic_crs)
        for x, y, zoom in grid.tiles(west, south, east, north, zooms=reader.maxzoom):
            if not reader.tile_exists(x, y, zoom):  # the raster is not north-up in the tiles' grid
                continue
            image = reader.tile(x, y, zoom, tilesize=256, indexes=(1, 2, 3))
            pixels = image.data.astype(np.float32)[None] / 127.5 - 1
            colours = session.run(None, {"source": pixels})[0][0].argmax(axis=0).astype(np.uint8)
            Image.fromarray(np.where(image.mask > 0, colours, 255).astype(np.uint8)).save(
                folder / f"{zoom}-{x}-{y}.png"
            )
        print(reader.maxzoom)


if __name__ == "__main__":
    main()
