"""Training settings: groups of frozen models, presets, TOML files, upgrades of old files; no torch here."""

from sat2map.settings.flat import SETTINGS, flatten, replace, to_toml
from sat2map.settings.groups import (
    ComputeSettings,
    DataSettings,
    Device,
    Direction,
    LossSettings,
    NetworkSettings,
    Norm,
    OptimizerSettings,
    OutputSettings,
    Precision,
    ScheduleSettings,
    TrainPrecision,
    TrainSettings,
    Upsample,
)
from sat2map.settings.loading import (
    change,
    explain,
    load_settings,
    make_settings,
    preset_names,
    resolve_recipe,
)
from sat2map.settings.upgrade import upgrade_settings

__all__ = [
    "SETTINGS",
    "ComputeSettings",
    "DataSettings",
    "Device",
    "Direction",
    "LossSettings",
    "NetworkSettings",
    "Norm",
    "OptimizerSettings",
    "OutputSettings",
    "Precision",
    "ScheduleSettings",
    "TrainPrecision",
    "TrainSettings",
    "Upsample",
    "change",
    "explain",
    "flatten",
    "load_settings",
    "make_settings",
    "preset_names",
    "replace",
    "resolve_recipe",
    "to_toml",
    "upgrade_settings",
]
