"""Scores the generator that ships and writes docs/results.json, the one source of every score in the docs.

Run it as `python tools/score_release.py --data maps --raster ortho.tif --buildings mask.tif`, then
`python docs/make_results.py`.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image

import sat2map
from sat2map.evaluation import Evaluation, draw_examples, evaluate
from sat2map.evaluation.metrics.crispness import crispness
from sat2map.evaluation.metrics.objects import object_recall
from sat2map.files import atomic_write_text
from sat2map.models.bundled import bundled_model
from sat2map.models.model_file import read_header
from sat2map.runtime.cpu import describe_processor
from sat2map.training.samples import draw_grid

ROOT = Path(__file__).parents[1]
BUNDLED = bundled_model()
RESULTS = ROOT / "docs" / "results.json"
SAMPLES = ROOT / "docs" / "figures" / "samples.jpg"
PAPER_SIZE = 256  # px; the size at which papers print scores of this data set


def score_raster(raster: Path, buildings: Path) -> dict[str, Any]:
    """Translate a raster and compare its buildings, and their confidence, with a mask on the same grid.

    Args:
        raster: An orthophoto.
        buildings: Its mask, one band; 0 is ground.
    """
    palette = read_header(BUNDLED).palette
    assert palette is not None
    with tempfile.TemporaryDirectory() as folder:
        output, confidence = Path(folder) / "map.tif", Path(folder) / "confidence.tif"
        began = time.monotonic()
        sat2map.translate_raster(raster, output, confidence=confidence)
        seconds = time.monotonic() - began
        with rasterio.open(output) as file:
            drawn = np.moveaxis(file.read([1, 2, 3]), 0, -1)
        with rasterio.open(confidence) as file:
            sure = file.read(1) / 100
    with rasterio.open(buildings) as file:
        truth = file.read(1) > 0
    found = palette.classify(drawn) == palette.index("building")
    shown, objects = object_recall(found, truth, min_pixels=200)
    return {
        "raster": raster.name,
        "size": truth.shape[::-1],
        "seconds": round(seconds, 2),
        "building_iou": float((found & truth).sum() / (found | truth).sum()),
        "building_recall": float((found & truth).sum() / truth.sum()),
        "buildings_shown": shown / objects,
        "building_precision": float(truth[found].mean()),
        "building_confidence": float(sure[found].mean()),
        "crispness": crispness(drawn, palette),
    }


def in_short(evaluation: Evaluation, data: Path) -> dict[str, Any]:
    """Return an evaluation as JSON, with the data set's name in place of its path."""
    protocol = evaluation.protocol.model_copy(update={"data": data.name})
    found: dict[str, Any] = json.loads(evaluation.model_copy(update={"protocol": protocol}).to_json())
    return found


def draw_samples(native: Evaluation, data: Path) -> None:
    """Draw the best, median and worst photos, two of each in a row, at half their size."""
    drawn = [
        [
            np.asarray(Image.fromarray(picture).reduce(2))
            for picture in (found.source, found.fake, found.target)
        ]
        for found in draw_examples(native, BUNDLED, data)
    ]
    rows = [[*left, *right] for left, right in zip(drawn[::2], drawn[1::2], strict=True)]
    grid = draw_grid(rows, ("photo", "generated map", "real map") * 2)
    Image.fromarray(grid).save(SAMPLES, quality=85, subsampling=0)


def main() -> None:
    """Score at the photos' own size, at 256 px with degraded sources, and on a raster; draw the samples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Folder or CSV of pairs.")
    parser.add_argument("--group-column", help="CSV column of places.")
    parser.add_argument("--raster", type=Path, required=True)
    parser.add_argument("--buildings", type=Path, required=True)
    args = parser.parse_args()

    native = evaluate(BUNDLED, args.data, group_column=args.group_column, reliability=True)
    small = evaluate(BUNDLED, args.data, group_column=args.group_column, size=PAPER_SIZE, robustness=True)
    results = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": describe_processor(),
        "python": platform.python_version(),
        "bytes": BUNDLED.stat().st_size,
        "native": in_short(native, args.data),
        "at_256": in_short(small, args.data),
        "raster": score_raster(args.raster, args.buildings),
    }
    atomic_write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    draw_samples(native, args.data)


if __name__ == "__main__":
    main()
