"""Scores that need published networks: FID's Inception and LPIPS, with weights that the user gives.

Nothing is downloaded, and nothing is unpickled but tensors.
"""

from sat2map.evaluation.perceptual.inception import FidInception
from sat2map.evaluation.perceptual.lpips import LEAST_SIDE, AlexNet, Lpips, LpipsHeads
from sat2map.evaluation.perceptual.published_weights import (
    BACKBONE,
    HEADS,
    INCEPTION,
    Published,
    open_inception,
    open_lpips,
)

__all__ = [
    "BACKBONE",
    "HEADS",
    "INCEPTION",
    "LEAST_SIDE",
    "AlexNet",
    "FidInception",
    "Lpips",
    "LpipsHeads",
    "Published",
    "open_inception",
    "open_lpips",
]
