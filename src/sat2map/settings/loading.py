"""Settings from presets, TOML files and keyword arguments."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sat2map.errors import SettingsError, nearest
from sat2map.settings.flat import GROUPS, SETTINGS, flatten, nest
from sat2map.settings.groups import TrainSettings
from sat2map.settings.upgrade import is_flat, upgrade_settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PRESETS = resources.files(__package__) / "presets"
SAME_PRESETS = {"cityscapes": "facades", "maps-to-photo": "facades"}
"""Other names of presets: all labels-to-photo experiments of the paper have one recipe."""

MAX_FILE_BYTES = 1 << 20

_log = logging.getLogger(__name__)


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    files = (entry.name.removesuffix(".toml") for entry in _PRESETS.iterdir() if entry.name.endswith(".toml"))
    return sorted([*files, *SAME_PRESETS])


def preset_summaries() -> dict[str, str]:
    """Return the presets with a sentence on each: what its file begins with. The first is `default`."""
    summaries = {}
    for name in sorted(preset_names(), key=lambda name: (name != "default", name)):
        same = SAME_PRESETS.get(name)
        first_line = (_PRESETS / f"{same or name}.toml").read_text("utf-8").partition("\n")[0]
        summary = first_line.removeprefix("# ").partition(". ")[0].rstrip(".")
        summaries[name] = f"The same as {same}" if same else summary
    return summaries


def load_settings(preset_or_toml: str | Path = "default", **overrides: Any) -> TrainSettings:
    """Read a preset by name, or a TOML file, and apply `overrides`.

    Example:
        >>> load_settings("default", data="pairs", epochs=20).schedule.epochs
        20

    Args:
        preset_or_toml: A name of `preset_names()`, or the path of a TOML file with a table per group. A file
            may start from a preset with `preset = "name"`.
        overrides: Settings by their flat names (`crop_size=128`) that win over those of the preset or file.

    Raises:
        SettingsError: No such preset or file, bad TOML, an unknown setting, or a value that does not fit.
    """
    where = str(preset_or_toml)
    tables = _read_tables(where)
    _refuse_unknown(overrides, SETTINGS, where)
    return _validate(_merge(tables, nest(overrides)), where)


def make_settings(values: Mapping[str, Any], *, where: str) -> TrainSettings:
    """Validate settings that were written down, in groups or in the flat form of sat2map 0.1.

    Args:
        values: The settings.
        where: Where they are from; the error names it.

    Raises:
        SettingsError: An unknown setting, or a value that does not fit.
    """
    return _validate(upgrade_settings(values), where)


def change(settings: TrainSettings, where: str = "settings", **values: Any) -> TrainSettings:
    """Return settings with other values by flat names, validated.

    Raises:
        SettingsError: An unknown setting, or a value that does not fit.
    """
    _refuse_unknown(values, SETTINGS, where)
    return _validate(nest({**flatten(settings), **values}), where)


def resolve_recipe(settings: TrainSettings) -> tuple[TrainSettings, str]:
    """Decide what `generator = "auto"` means for these data.

    With a palette it is `efficient-unet`. Without one there are no classes to tell apart: every setting that
    still has its default value is that of the preset `rgb`, a U-Net that draws colours.

    Returns:
        The settings with a generator, and a note for the user; "" where there is nothing to say.
    """
    if settings.network.generator != "auto":
        return settings, ""
    if settings.data.draws_maps:
        return change(settings, generator="efficient-unet"), ""
    note = "the target has no palette: a U-Net that draws colours is trained, as in the preset rgb"
    return as_rgb_recipe(settings), note


def as_rgb_recipe(settings: TrainSettings) -> TrainSettings:
    """Return settings in which all that still has its default value has that of the preset `rgb`."""
    usual, rgb, now = flatten(TrainSettings()), flatten(load_settings("rgb")), flatten(settings)
    values = {name: rgb[name] if value == usual[name] else value for name, value in now.items()}
    return _validate(
        nest({**values, "generator": rgb["generator"]}), "settings of a network that draws colours"
    )


def explain(error: ValidationError) -> str:
    """Put the first complaint of pydantic into one sentence."""
    first = error.errors()[0]
    parts = [str(part) for part in first["loc"]]
    name = ".".join(parts)
    if len(parts) > 1 and parts[0] in GROUPS:  # settings have flat names
        name = "data" if parts[:2] == ["data", "path"] else ".".join(parts[1:])
    message = first["msg"].removeprefix("Value error, ")
    if not name or (first["type"] == "value_error" and isinstance(first["input"], dict)):
        return message
    if first["type"] == "missing":  # its input is all that was given
        return f"{name} is missing"
    return f"{name} = {first['input']!r}: {message[0].lower()}{message[1:]}"


def _validate(tables: Mapping[str, Any], where: str) -> TrainSettings:
    for name, table in tables.items():
        if name not in GROUPS:
            _refuse_unknown({name: table}, {**dict.fromkeys(SETTINGS), **GROUPS}, where)
            raise SettingsError(f"{where}: '{name}' belongs into the table [{SETTINGS[name].group}]")
        if not isinstance(table, dict):
            raise SettingsError(f"{where}: '{name}' is the name of a table, [{name}]")
        _refuse_unknown(table, GROUPS[name].model_fields, where)
    try:
        return TrainSettings(**tables)
    except ValidationError as error:
        raise SettingsError(f"{where}: {explain(error)}") from None


def _refuse_unknown(values: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for name in values:
        if name not in known:
            elsewhere = SETTINGS.get(name)
            hint = f"it belongs into the table [{elsewhere.group}]" if elsewhere else nearest(name, known)
            raise SettingsError(f"{where}: unknown setting '{name}', {hint}")


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, table in above.items():
        mine = merged.get(name)
        merged[name] = {**mine, **table} if isinstance(mine, dict) and isinstance(table, dict) else table
    return merged


def _read_tables(preset_or_toml: str) -> dict[str, Any]:
    if preset_or_toml in preset_names():
        name = SAME_PRESETS.get(preset_or_toml, preset_or_toml)
        return _with_preset(tomllib.loads((_PRESETS / f"{name}.toml").read_text("utf-8")), name)
    path = Path(preset_or_toml)
    if path.suffix != ".toml" and not path.exists():
        raise SettingsError(
            f"no preset is called '{preset_or_toml}', {nearest(preset_or_toml, preset_names())}"
        )
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise SettingsError(f"{path} has more than {MAX_FILE_BYTES} bytes: it holds no settings")
        values = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path} is not a TOML file: {error}") from None
    return _with_preset(values, str(path))


def _with_preset(values: dict[str, Any], where: str) -> dict[str, Any]:
    """Lay the tables of a file over those of the preset that it starts from."""
    base = values.pop("preset", None)
    if base is None:
        if is_flat(values) and set(values) & set(SETTINGS):
            _log.warning(
                "%s has its settings outside of tables, as sat2map 0.1 did: what it leaves out has the "
                "values of that version",
                where,
            )
        return upgrade_settings(values)
    if base not in preset_names():
        raise SettingsError(f"{where}: no preset is called {base!r}, {nearest(str(base), preset_names())}")
    return _merge(_read_tables(base), upgrade_settings(values, complete=False))
