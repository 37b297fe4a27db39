"""Training settings: groups of frozen models, presets, TOML files, upgrades of old files; no torch here.

What needs the groups is imported when it is first used: most commands only need the names of choices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sat2map.settings.choices import (
    Adversarial,
    Augment,
    Compression,
    DataSetName,
    Device,
    Direction,
    EngineName,
    ExportFormat,
    InferenceMode,
    Norm,
    Precision,
    Skips,
    TownLayout,
    TrainPrecision,
    Upsample,
)

if TYPE_CHECKING:
    from sat2map.settings.flat import SETTINGS, flatten, replace, to_toml
    from sat2map.settings.groups import (
        ComputeSettings,
        DataSettings,
        LossSettings,
        NetworkSettings,
        OptimizerSettings,
        OutputSettings,
        ScheduleSettings,
        TrainSettings,
    )
    from sat2map.settings.loading import (
        as_rgb_recipe,
        change,
        explain,
        load_settings,
        make_settings,
        preset_names,
        preset_summaries,
        resolve_recipe,
    )
    from sat2map.settings.upgrade import upgrade_settings

__all__ = [
    "SETTINGS",
    "Adversarial",
    "Augment",
    "Compression",
    "ComputeSettings",
    "DataSetName",
    "DataSettings",
    "Device",
    "Direction",
    "EngineName",
    "ExportFormat",
    "InferenceMode",
    "LossSettings",
    "NetworkSettings",
    "Norm",
    "OptimizerSettings",
    "OutputSettings",
    "Precision",
    "ScheduleSettings",
    "Skips",
    "TownLayout",
    "TrainPrecision",
    "TrainSettings",
    "Upsample",
    "as_rgb_recipe",
    "change",
    "explain",
    "flatten",
    "load_settings",
    "make_settings",
    "preset_names",
    "preset_summaries",
    "replace",
    "resolve_recipe",
    "to_toml",
    "upgrade_settings",
]


def __getattr__(name: str) -> Any:
    """Import a name's module when the name is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sat2map.settings import flat, groups, loading, upgrade

    return next(getattr(module, name) for module in (groups, flat, upgrade, loading) if hasattr(module, name))
