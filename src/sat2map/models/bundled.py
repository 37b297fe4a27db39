"""The path of the model that comes with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from sat2map.errors import ModelFileError

NAME = "maps.safetensors"


def bundled_model() -> Path:
    """Return the path of the bundled model file.

    Raises:
        ModelFileError: This build of the package has none.
    """
    path = Path(str(resources.files("sat2map") / "weights" / NAME))
    if not path.exists():
        raise ModelFileError(
            "this build of sat2map comes without a model",
            hint="name one, such as runs/train/best.safetensors",
            setting="model",
        )
    return path
