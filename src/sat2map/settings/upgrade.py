"""Settings as sat2map 0.1 wrote them, flat, brought into today's groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sat2map.settings.flat import GROUPS, SETTINGS

# What a flat file left out had these values: those of the paper.
_FLAT_DEFAULTS: dict[str, Any] = {
    "image_size": 256,
    "load_size": 286,
    "crop_size": 256,
    "augment": "flip",
    "generator": "unet",
    "adversarial_weight": 1.0,
    "l1_weight": 100.0,
    "l1_balance": 0.0,
    "class_weight": 0.0,
    "batch_size": 1,
    "learning_rate": 2e-4,
    "betas": (0.5, 0.999),
    "schedule": "linear",
    "ema": 0.0,
    "validate_every": 1,
}
# What did not exist then, and was done like this.
_FLAT_RECIPE: dict[str, Any] = {
    "scale_jitter": (1.0, 1.0),
    "photo_jitter": 0.0,
    "pretrained": "none",
    "optimizer": "adam",
    "weight_decay": 0.0,
    "encoder_rate": 1.0,
    "warmup_steps": 0,
}
_RENAMED = {"ground_sample_distance": "gsd"}


def is_flat(values: Mapping[str, Any]) -> bool:
    """Whether settings are in the flat form of sat2map 0.1: there are some, and no tables."""
    return bool(values) and not any(
        name in GROUPS and isinstance(value, dict) for name, value in values.items()
    )


def upgrade_settings(values: Mapping[str, Any], *, complete: bool = True) -> dict[str, Any]:
    """Bring settings from a file, a header or a run folder into today's groups.

    Args:
        values: As they were read. Those in groups come back as they are.
        complete: Whether what flat settings leave out has the value of that time; False where they are laid
            over a preset.

    Returns:
        A table per group. Names that no version has known are kept at the top, for the error that names them.
    """
    if not is_flat(values):
        return dict(values)
    flat = {_RENAMED.get(name, name): value for name, value in values.items()}
    if complete:
        flat = {**_FLAT_RECIPE, **_FLAT_DEFAULTS, **flat}
    if "class_weight" in flat:  # one weight for two losses
        weight = flat.pop("class_weight")
        flat = {"cross_entropy_weight": weight, "iou_weight": weight, **flat}
    if "l1_balance" in flat:  # it balanced both
        flat = {"class_balance": flat["l1_balance"], **flat}
    if complete and flat["schedule"] == "cosine":
        flat["warmup_steps"] = max(flat["warmup_steps"], 100)  # about a hundredth of a run
    tables: dict[str, Any] = {}
    for name, value in flat.items():
        if name in SETTINGS:
            setting = SETTINGS[name]
            tables.setdefault(setting.group, {})[setting.field] = value
        else:
            tables[name] = value
    return tables
