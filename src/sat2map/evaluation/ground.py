"""Scores of one map on the ground: its classes, buildings and roads against a reference."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sat2map.evaluation.metrics.classes import class_iou, confusion_matrix, mean_iou
from sat2map.evaluation.metrics.ground import buffer_counts, label_objects, match_objects
from sat2map.evaluation.result import Record
from sat2map.images.palette import Palette

OBJECTS: Final = ("building",)  # classes whose patches are objects
ROADS: Final = ("road", "highway")  # classes that are scored together, within a buffer
MIN_OBJECT: Final = 10.0  # m²; smaller patches count only where they are matched
UNKNOWN: Final = 255  # class number of pixels that are not compared
REST: Final = "rest"  # what a reference of one class calls all else


class GroundProtocol(Record):
    """How the scores were taken.

    Attributes:
        sat2map: Version that evaluated.
        map: The map's file.
        model: Model that drew it, as its tags say; or "".
        model_sha256: Its hash, or "".
        reference: The reference's file.
        one_class: The class, where the reference shows only one.
        pixel: Height and width of a pixel of the map (m).
        pixels: Pixels that were compared.
        share: Share of the map's pixels that were compared, 0..1.
        buffer: Distance within which roads are found (m).
        min_object: Size below which patches count only where they are matched (m²).
        notes: What a reader must know of how map and reference were read.
    """

    sat2map: str
    map: str
    model: str = ""
    model_sha256: str = ""
    reference: str
    one_class: str | None = None
    pixel: tuple[float, float]
    pixels: int = 0
    share: float = 0.0
    buffer: float
    min_object: float = MIN_OBJECT
    notes: tuple[str, ...] = ()


class ClassScores(Record):
    """Pixel scores of one class, 0..1; None where they are undefined (0/0)."""

    name: str
    iou: float | None
    precision: float | None
    recall: float | None


class GroundScores(Record):
    """Scores of a map against a reference on the ground.

    Attributes:
        protocol: How they were taken.
        scores: Other scores by name: `mean_iou`, `accuracy`, `constant_mean_iou`, `road_f1`,
            `building_object_recall`, …; those that are undefined are missing.
        classes: Scores of each class.
        objects: Matched objects, the map's and the reference's, by class.
        confusion: Pixels by class of the reference (rows) and of the map (columns).
    """

    protocol: GroundProtocol
    scores: dict[str, float]
    classes: tuple[ClassScores, ...]
    objects: dict[str, tuple[int, int, int]] = Field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...]


def score_on_ground(
    fake: npt.NDArray[np.uint8],
    target: npt.NDArray[np.uint8],
    palette: Palette,
    protocol: GroundProtocol,
    *,
    objects: npt.NDArray[np.int32] | None = None,
) -> GroundScores:
    """Score a map on the grid of its reference.

    Args:
        fake: The map's class numbers, uint8 (h, w), `UNKNOWN` where it has none.
        target: The reference's; where it shows one class, 1 is this class and 0 the rest.
        palette: The classes.
        protocol: How they were read; its numbers of pixels are filled in.
        objects: Numbers of the reference's objects, int32 (h, w); None: its patches are the objects.
    """
    one = protocol.one_class
    known = (fake != UNKNOWN) & (target != UNKNOWN)
    names: tuple[str, ...] = palette.names
    if one is not None:
        fake = np.where(known, fake == palette.index(one), UNKNOWN).astype(np.uint8)
        names = (REST, one)
    confusion = confusion_matrix(fake[known], target[known], len(names))
    scores = _of_classes(confusion, one)
    height, width = protocol.pixel
    counts: dict[str, tuple[int, int, int]] = {}
    for name in OBJECTS if one is None else {one} - set(ROADS):
        if name in names:
            drawn, true = (known & (classes == names.index(name)) for classes in (fake, target))
            labels = label_objects(true) if objects is None else np.where(true, objects, 0)
            found = match_objects(
                label_objects(drawn), labels, min_pixels=protocol.min_object / (height * width)
            )
            counts[name] = (found.matched, found.fake, found.target)
            scores |= {
                f"{name}_object_precision": found.precision,
                f"{name}_object_recall": found.recall,
                f"{name}_object_f1": found.f1,
            }
    roads = [names.index(name) for name in ROADS if name in names]
    if roads:
        drawn, true = (known & np.isin(classes, roads) for classes in (fake, target))
        near = buffer_counts(drawn, true, protocol.buffer, protocol.pixel)
        scores |= {"road_precision": near.precision, "road_recall": near.recall, "road_f1": near.f1}
    pixels = int(np.count_nonzero(known))
    return GroundScores(
        protocol=protocol.model_copy(update={"pixels": pixels, "share": pixels / known.size}),
        scores={name: float(score) for name, score in scores.items() if np.isfinite(score)},
        classes=_each_class(confusion, names),
        objects=counts,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def _of_classes(confusion: npt.NDArray[np.int64], one: str | None) -> dict[str, float]:
    """Return scores of all classes together, and of a map that is all of the most frequent one."""
    total = max(1, int(confusion.sum()))
    scores = {"accuracy": float(np.trace(confusion)) / total}
    if one is None:
        constant = np.zeros_like(confusion)
        constant[:, confusion.sum(axis=1).argmax()] = confusion.sum(axis=1)
        scores |= {"mean_iou": mean_iou(confusion), "constant_mean_iou": mean_iou(constant)}
    return scores


def _each_class(confusion: npt.NDArray[np.int64], names: tuple[str, ...]) -> tuple[ClassScores, ...]:
    right = np.diagonal(confusion).astype(np.float64)
    with np.errstate(invalid="ignore"):
        columns = (class_iou(confusion), right / confusion.sum(axis=0), right / confusion.sum(axis=1))
    return tuple(
        ClassScores(
            name=name,
            **{
                key: float(column[i]) if np.isfinite(column[i]) else None
                for key, column in zip(("iou", "precision", "recall"), columns, strict=True)
            },
        )
        for i, name in enumerate(names)
        if name != REST
    )
