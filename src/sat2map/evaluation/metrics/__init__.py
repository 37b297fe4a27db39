"""Scores of generated maps, as pure functions of numpy arrays, and how sure they are."""

from sat2map.evaluation.metrics.classes import (
    Counts,
    class_edges,
    class_iou,
    confusion_matrix,
    mask_counts,
    mean_iou,
)
from sat2map.evaluation.metrics.features import (
    KernelDistance,
    frechet_distance,
    kernel_distance,
    kernel_subset_size,
)
from sat2map.evaluation.metrics.intervals import bootstrap_interval
from sat2map.evaluation.metrics.realism import SlicedWasserstein, sliced_wasserstein
from sat2map.evaluation.metrics.similarity import l1, pixel_accuracy, psnr, rmse, rmse_gcgan, ssim

__all__ = [
    "Counts",
    "KernelDistance",
    "SlicedWasserstein",
    "bootstrap_interval",
    "class_edges",
    "class_iou",
    "confusion_matrix",
    "frechet_distance",
    "kernel_distance",
    "kernel_subset_size",
    "l1",
    "mask_counts",
    "mean_iou",
    "pixel_accuracy",
    "psnr",
    "rmse",
    "rmse_gcgan",
    "sliced_wasserstein",
    "ssim",
]
