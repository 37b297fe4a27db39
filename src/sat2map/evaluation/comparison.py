"""Other models that are scored beside the model: names of their columns, and whether they are comparable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sat2map.errors import SettingsError
from sat2map.evaluation.result import AS_IT_IS, CLASS_HEAD, CONSTANT, JPEG, MODEL, NEAREST
from sat2map.models.model_file import ModelHeader

_RESERVED = {MODEL, CLASS_HEAD, CONSTANT, NEAREST, JPEG, AS_IT_IS}
_GENERIC_STEMS = {"best", "last", "model", "checkpoint"}  # what the files of every run are called


def column_names(models: Sequence[str | Path]) -> list[str]:
    """Name columns after files: `l1` for l1.safetensors and for runs/l1/best.safetensors.

    Args:
        models: Paths or names on the hub. Where their names would be alike, columns bear these as they are.

    Raises:
        SettingsError: One is given twice.
    """
    paths = [str(model) for model in models]
    twice = next((path for path, count in Counter(paths).items() if count > 1), None)
    if twice is not None:
        raise SettingsError(f"{twice} is given twice", hint="leave one out", setting="against")
    short = [_short(Path(path)) for path in paths]
    counts = Counter(short)
    return [
        name if counts[name] == 1 and name not in _RESERVED else path
        for name, path in zip(short, paths, strict=True)
    ]


def check_comparable(name: str, other: ModelHeader, header: ModelHeader) -> None:
    """Check that another model does the same task as the model.

    Raises:
        SettingsError: Its direction or bands differ, or its column's name is taken.
    """
    if name in _RESERVED:
        raise SettingsError(f"a column '{name}' exists already", hint="give the other model another name")
    if other.direction != header.direction:
        raise SettingsError(
            f"{name} goes from {_spaced(other.direction)} and the model from {_spaced(header.direction)}",
            hint="compare models of one direction",
        )
    mine, theirs = ((it.generator.source_bands, it.generator.target_bands) for it in (header, other))
    if mine != theirs:
        raise SettingsError(
            f"{name} makes {theirs[1]} bands of {theirs[0]} and the model {mine[1]} of {mine[0]}",
            hint="compare models of the same bands",
        )


def _short(path: Path) -> str:
    return path.parent.name if path.stem in _GENERIC_STEMS and path.parent.name else path.stem


def _spaced(direction: str) -> str:
    return direction.replace("-", " ")
