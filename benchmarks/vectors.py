"""Measures the vectors of a map: corners, right angles, agreement with true outlines, connected roads.

    python -m benchmarks.vectors MAP.tif [--buildings MASK.tif] [--picture FILE.png]

Without a mask, the buildings of the map itself are the truth. The row `pixels` holds the outlines of pixels
simplified by one pixel, which is what tools such as gdal_polygonize and a simplifier give.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes

from sat2map.geo.vectorize import vectorize_raster

GRID = 2.0  # degrees; edges nearer to the raster's axes than this lie along its pixels
RIGHT = 2.0  # degrees from 90


def right_angles(polygons: NDArray[Any]) -> tuple[int, int, int]:
    """Return how many corners there are, how many are right, and how many of these leave the grid."""
    corners = right = turned = 0
    for polygon in polygons:
        for ring in (polygon.exterior, *polygon.interiors):
            steps = np.diff(shapely.get_coordinates(ring), axis=0)
            direction = np.rad2deg(np.arctan2(steps[:, 1], steps[:, 0]))
            turn = np.abs((np.diff(np.append(direction, direction[0])) + 180) % 360 - 180)
            square = np.abs(turn - 90) < RIGHT
            off_grid = np.abs((direction + 45) % 90 - 45) > GRID
            corners, right, turned = (
                corners + len(turn),
                right + square.sum(),
                turned + (square & off_grid).sum(),
            )
    return corners, int(right), int(turned)


def measure(buildings: NDArray[Any], truth: Any) -> str:
    """Return one row of the table."""
    corners, right, turned = right_angles(buildings)
    union = shapely.union_all(buildings)
    iou = union.intersection(truth).area / union.union(truth).area
    per_building = corners / max(1, len(buildings))
    return (
        f"{len(buildings)} | {per_building:.1f} | {right / corners:.0%} | {turned / corners:.0%} | {iou:.3f}"
    )


def connected_share(lines: NDArray[Any]) -> float:
    """Return the share of the length that lies in the largest connected part."""
    parts = list(range(len(lines)))

    def find(i: int) -> int:
        while parts[i] != i:
            i = parts[i]
        return i

    ends: dict[tuple[float, float], int] = {}
    for number, line in enumerate(lines):
        for point in (line.coords[0], line.coords[-1]):
            parts[find(number)] = find(ends.setdefault(point, number))
    lengths = np.bincount([find(i) for i in range(len(lines))], weights=shapely.length(lines))
    return float(lengths.max() / lengths.sum())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("map", type=Path)
    parser.add_argument("--buildings", type=Path, help="mask of the true buildings on the same grid")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found, exact = (Path(folder) / name for name in ("found.gpkg", "exact.gpkg"))
        vectorize_raster(arguments.map, found)
        vectorize_raster(arguments.map, exact, tolerance=0)
        layers = {name for name, _ in pyogrio.list_layers(found)}
        outlines, buildings = (read(path, "building") for path in (exact, found))
        truth = shapely.union_all(outlines if arguments.buildings is None else read_mask(arguments.buildings))
        with rasterio.open(arguments.map) as file:
            pixel = abs(file.transform.a)
        print("| buildings | number | corners each | right angles | of them off the grid | IoU |")
        print("|---|---|---|---|---|---|")
        print(f"| pixels | {measure(shapely.simplify(outlines, pixel), truth)} |")
        print(f"| sat2map | {measure(buildings, truth)} |")
        for name in sorted(layers):
            if name.endswith("_centre"):
                lines = read(found, name)
                print(f"{name}: {len(lines)} lines, {connected_share(lines):.0%} of the length connected")
        if arguments.picture:
            draw(found, sorted(layers), arguments.picture)


def read(path: Path, layer: str) -> NDArray[Any]:
    """Return the geometries of a layer."""
    return np.asarray(shapely.from_wkb(pyogrio.raw.read(path, layer=layer)[2]))


def read_mask(path: Path) -> NDArray[Any]:
    """Return the outlines of a mask."""
    with rasterio.open(path) as file:
        found = shapes((file.read(1) > 0).astype(np.uint8), transform=file.transform)
        return np.array([shapely.geometry.shape(shape) for shape, value in found if value], object)


def draw(path: Path, layers: list[str], picture: Path) -> None:
    """Draw the vectors to look at."""
    import matplotlib.pyplot as plt

    colours = {
        "land": "#e8e5df",
        "building": "#c9b8a0",
        "road": "#ffffff",
        "park": "#cbdfac",
        "water": "#b1d0fe",
    }
    _, axes = plt.subplots(figsize=(14, 14))
    for layer in sorted(layers, key=lambda name: (name.endswith("_centre"), name != "land")):
        if layer == "layer_styles":
            continue
        for shape in read(path, layer):
            if layer.endswith("_centre"):
                axes.plot(*shape.xy, color="#d0021b", linewidth=1, marker=".", markersize=3)
            else:
                axes.fill(
                    *shape.exterior.xy,
                    facecolor=colours.get(layer, "#f79e27"),
                    edgecolor="#666",
                    linewidth=0.3,
                )
    axes.set_aspect("equal")
    plt.savefig(picture, dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    main()
