"""Measures the step between the maps of neighbouring sheets, translated alone and with their neighbours.

    python -m benchmarks.seams ortho.tif [--model best.safetensors]

The raster is cut into 2 × 2 sheets. The step is the mean difference of the grey levels on both sides of the
cut, beside that between all other neighbouring columns and rows of the map. The last column is the share of
pixels that differ from the map of the uncut raster.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from sat2map.bulk.pipeline import run_bulk
from sat2map.bulk.planning import Reading, plan_tasks
from sat2map.bulk.worker import WorkOptions
from sat2map.files import sha256_of
from sat2map.geo.front_door import translate_raster
from sat2map.models.model import Model


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("raster", type=Path)
    parser.add_argument("--model")
    given = parser.parse_args()
    model = Model.find(given.model).path
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sheets, cut = cut_sheets(given.raster, folder)
        translate_raster(given.raster, folder / "whole.tif", model=model)
        with rasterio.open(folder / "whole.tif") as file:
            whole = file.read((1, 2, 3))
        print("| sheets | step at the cut | elsewhere | pixels unlike the map of the whole |")
        print("|---|--:|--:|--:|")
        for title, alone in (("each alone", True), ("with their neighbours", False)):
            options = WorkOptions(folder / title, model, sha256_of(model))
            run_bulk(plan_tasks(sheets, cut=8192, reading=Reading() if alone else options.reading()), options)
            joined = np.zeros_like(whole)
            for i, sheet in enumerate(sheets):
                with rasterio.open(options.folder / Path(sheet).name) as file:
                    row, column = cut[0] * (i // 2), cut[1] * (i % 2)
                    joined[:, row : row + file.height, column : column + file.width] = file.read((1, 2, 3))
            at, elsewhere = steps(joined, cut)
            unlike = (joined != whole).any(axis=0).mean()
            print(f"| {title} | {at:.2f} | {elsewhere:.2f} | {unlike:.2%} |")


def cut_sheets(raster: Path, folder: Path) -> tuple[list[str], tuple[int, int]]:
    """Write four sheets; return their paths, and the row and column of the cut."""
    paths = []
    with rasterio.open(raster) as file:
        rows, columns = file.height // 2, file.width // 2
        for row in (0, rows):
            for column in (0, columns):
                window = Window(
                    column,
                    row,
                    file.width - columns if column else columns,
                    file.height - row if row else rows,
                )
                place = {
                    "width": window.width,
                    "height": window.height,
                    "transform": file.window_transform(window),
                }
                paths.append(str(folder / f"{row}-{column}.tif"))
                with rasterio.open(paths[-1], "w", **{**file.profile, **place}) as sheet:
                    sheet.write(file.read(window=window))
    return paths, (rows, columns)


def steps(image: NDArray[np.uint8], cut: tuple[int, int]) -> tuple[float, float]:
    """Return the mean step at a cut and elsewhere, in grey levels."""
    at, elsewhere = [], []
    for axis, place in enumerate(cut):
        step = np.abs(np.diff(image.astype(np.int16), axis=axis + 1)).mean(axis=(0, 2 - axis))
        at.append(step[place - 1])
        elsewhere.append(np.delete(step, place - 1).mean())
    return float(np.mean(at)), float(np.mean(elsewhere))


if __name__ == "__main__":
    main()
