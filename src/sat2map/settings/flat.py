"""Settings by their flat names, as flags and keyword arguments have them: `crop_size` is `data.crop_size`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from sat2map.settings.groups import Group, TrainSettings


class Setting(NamedTuple):
    """One setting: its flat name, where it is, and what pydantic knows of it."""

    name: str
    group: str
    field: str
    info: FieldInfo


GROUPS: dict[str, type[Group]] = {
    name: info.annotation  # type: ignore[misc]
    for name, info in TrainSettings.model_fields.items()
}
_RENAMED = {("data", "path"): "data"}  # as the flag says it

SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for group, kind in GROUPS.items()
    for field, info in kind.model_fields.items()
    for setting in [Setting(_RENAMED.get((group, field), field), group, field, info)]
}


def flatten(settings: TrainSettings) -> dict[str, Any]:
    """Return the value of every setting by its flat name."""
    return {
        name: getattr(getattr(settings, setting.group), setting.field) for name, setting in SETTINGS.items()
    }


def nest(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Put values by flat names into tables by group; the names must be known."""
    tables: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        setting = SETTINGS[name]
        tables.setdefault(setting.group, {})[setting.field] = value
    return tables


def replace(settings: TrainSettings, **values: Any) -> TrainSettings:
    """Return the settings with other values by flat names; they are not checked again."""
    tables = nest(values)
    groups = {name: getattr(settings, name).model_copy(update=table) for name, table in tables.items()}
    return settings.model_copy(update=groups)


def to_toml(settings: TrainSettings, *, paths: bool = True) -> str:
    """Write settings as TOML, a table per group and a comment per setting.

    Args:
        settings: All of them; those that are None are written as comments, as TOML has no None.
        paths: Whether the folders of data and run are written too.
    """
    lines: list[str] = []
    for group, kind in GROUPS.items():
        table, nested = [f"[{group}]"], []
        for field, info in kind.model_fields.items():
            if not paths and field in ("path", "run"):
                continue
            value = getattr(getattr(settings, group), field)
            if isinstance(value, dict):
                nested += [f"[{group}.{field}]  # {info.description}"]
                nested += [f"{json.dumps(name)} = {json.dumps(weight)}" for name, weight in value.items()]
                continue
            text = f"# {field} =" if value is None else f"{field} = {_toml_value(value)}"
            table.append(f"{text:<34}  # {info.description}")
        lines += [*table, *nested, ""]
    return "\n".join(lines)


def _toml_value(value: object) -> str:
    # The values are strings, numbers and pairs of numbers, which JSON writes as TOML does.
    if isinstance(value, tuple):
        return json.dumps(list(value))
    return json.dumps(value if isinstance(value, int | float) else str(value), ensure_ascii=False)
