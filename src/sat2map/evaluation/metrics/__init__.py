"""Scores of generated maps, as pure functions of numpy arrays, and their records.

A metric is a record (see `sat2map.evaluation.metrics.record`) in `METRICS` of a file of this folder.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import get_args

from sat2map.evaluation.metrics.classes import class_iou_metric
from sat2map.evaluation.metrics.features import FID, KID, LPIPS
from sat2map.evaluation.metrics.realism import SWD
from sat2map.evaluation.metrics.record import Metric, Part, ScoreInfo
from sat2map.images.palette import Palette

_FILES = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
MODULES: list[ModuleType] = [module for module in _FILES if hasattr(module, "METRICS")]
PARTS: tuple[Part, ...] = get_args(Part)


def metrics_for(palette: Palette | None) -> list[Metric]:
    """Return the metrics that apply to maps of a palette, the IoU of each of its classes among them."""
    found = [metric for module in MODULES for metric in module.METRICS if metric.applies_to(palette)]
    return found + [class_iou_metric(name) for name in (palette.names if palette else ())]


def find_score(name: str) -> ScoreInfo:
    """Return how the score of that name is shown; an unknown one, as in a newer file, by its name alone."""
    if name.startswith("iou_"):
        return class_iou_metric(name.removeprefix("iou_"))
    known = (SWD, FID, KID, LPIPS, *(metric for module in MODULES for metric in module.METRICS))
    return next((info for info in known if info.name == name), ScoreInfo(name, name, "", PARTS[-1]))
