"""Grids of images with headings: samples (source | generated | target), and a batch of the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sat2map.images.pixels import tensor_from_unit

if TYPE_CHECKING:
    from sat2map.training.palette_tensors import PaletteTensors
    from sat2map.training.step import Batch

HEADINGS = ("source", "generated", "target")
BATCH_ROWS = 8
GAP = 6  # px between pictures
HEADER = 26  # px above them
PAPER, INK = (255, 255, 255), (40, 44, 52)


def draw_batch(batch: Batch, palette: PaletteTensors | None) -> NDArray[np.uint8]:
    """Draw the first pairs of a batch, cropped and varied as the networks see them, uint8 (h, w, 3).

    Where it has no targets, the palette draws its labels.
    """
    sources, targets, labels = (
        None if of is None else of[:BATCH_ROWS] for of in (batch.source, batch.target, batch.labels)
    )
    assert sources is not None
    if targets is None:
        assert palette is not None
        assert labels is not None
        targets = palette.draw(labels)
    images = (np.moveaxis(tensor_from_unit(of).cpu().numpy(), 1, -1) for of in (sources, targets))
    return draw_grid(list(zip(*images, strict=True)), ("source", "target"))


def draw_grid(
    rows: Sequence[Sequence[NDArray[np.uint8]]], headings: Sequence[str] = HEADINGS
) -> NDArray[np.uint8]:
    """Draw rows of pictures, one column a heading.

    Args:
        rows: For each row as many pictures as headings, uint8 (h, w, 1 to 4), all of one size; of more than
            three bands the first three are shown.
        headings: What stands above the columns.

    Returns:
        uint8 (height, width, 3).
    """
    height, width = rows[0][0].shape[:2]
    columns = len(headings)
    canvas = Image.new(
        "RGB", (columns * (width + GAP) + GAP, HEADER + len(rows) * (height + GAP) + GAP // 2), PAPER
    )
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=14)
    for column, heading in enumerate(headings):
        middle = GAP + column * (width + GAP) + width // 2
        draw.text((middle, HEADER // 2), heading, fill=INK, font=font, anchor="mm")
    for i, row in enumerate(rows):
        for column, picture in enumerate(row):
            rgb = np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture[..., :3]
            where = (GAP + column * (width + GAP), HEADER + i * (height + GAP))
            canvas.paste(Image.fromarray(np.ascontiguousarray(rgb)), where)
    return np.asarray(canvas)
