"""Owns the models that a model is scored beside: names of their columns, and whether they do the same job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sat2map.errors import SettingsError
from sat2map.evaluation.result import AS_IT_IS, CLASS_HEAD, CONSTANT, JPEG, MODEL, NEAREST
from sat2map.models.model_file import ModelHeader

_TAKEN = {MODEL, CLASS_HEAD, CONSTANT, NEAREST, JPEG, AS_IT_IS}
_SAYS_NOTHING = {"best", "last", "model", "checkpoint"}  # what the files of every run are called


def column_names(models: Sequence[str | Path]) -> list[str]:
    """Name columns after files: `l1` for l1.safetensors and for runs/l1/best.safetensors.

    Args:
        models: Paths or names on the hub. Where their names would be alike, columns bear these as they are.

    Raises:
        SettingsError: One is given twice.
    """
    words = [str(model) for model in models]
    twice = next((word for word, count in Counter(words).items() if count > 1), None)
    if twice is not None:
        raise SettingsError(f"{twice} is given twice: leave one out")
    short = [_short(Path(word)) for word in words]
    told = Counter(short)
    return [
        name if told[name] == 1 and name not in _TAKEN else word
        for name, word in zip(short, words, strict=True)
    ]


def refuse_another_job(name: str, other: ModelHeader, header: ModelHeader) -> None:
    """Complain where another model could not stand in for the model.

    Raises:
        SettingsError: Its direction or bands differ, or its column's name is taken.
    """
    if name in _TAKEN:
        raise SettingsError(f"a column '{name}' is there already: give the other model another name")
    if other.direction != header.direction:
        raise SettingsError(
            f"{name} goes from {_words(other.direction)} and the model from {_words(header.direction)}: "
            "only models of one direction compare"
        )
    mine, theirs = ((it.generator.source_bands, it.generator.target_bands) for it in (header, other))
    if mine != theirs:
        raise SettingsError(
            f"{name} makes {theirs[1]} bands of {theirs[0]} and the model {mine[1]} of {mine[0]}: "
            "only models of the same bands compare"
        )


def _short(path: Path) -> str:
    return path.parent.name if path.stem in _SAYS_NOTHING and path.parent.name else path.stem


def _words(direction: str) -> str:
    return direction.replace("-", " ")
