"""How far a training is, and its learning rate there."""

from __future__ import annotations

import math

from sat2map.settings import ScheduleSettings


def progress_of(settings: ScheduleSettings, step: int, total: int, seconds: float) -> float:
    """Return how much of a training is done, 0 to 1: by steps or by time, whichever is further.

    Seconds are those of all sittings.
    """
    by_time = 0.0 if settings.minutes is None else seconds / (60 * settings.minutes)
    return min(1.0, max(step / total, by_time))


def learning_rate_factor(settings: ScheduleSettings, progress: float, step: int) -> float:
    """Return the factor on the learning rate at a step (from 0) at a progress in [0, 1).

    `linear` is the paper's code: constant for the first half, then down to 0. `cosine` is Loshchilov & Hutter
    2017 without restarts. Before either, the rate rises in a straight line over `warmup_steps`.
    """
    warm_up = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if settings.schedule == "linear":
        return warm_up * min(1.0, 2 * (1 - progress))
    if settings.schedule == "cosine":
        return warm_up * 0.5 * (1 + math.cos(math.pi * progress))
    return warm_up
