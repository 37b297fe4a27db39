"""Turn satellite imagery into maps: train, evaluate and use pix2pix models.

```python
import sat2map

translator = sat2map.Translator.open()  # the model that comes with the package
generated = translator("photo.jpg", gsd=0.3)
```

Everything in `__all__` is imported when it is first used: `import sat2map` loads neither NumPy nor PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names, for type checkers and editors
    from sat2map.assess import assess_map
    from sat2map.data.pairs import find_pairs
    from sat2map.errors import (
        DataError,
        ImageError,
        MissingExtraError,
        ModelFileError,
        OutOfMemoryError,
        OutputError,
        RunError,
        Sat2MapError,
        SettingsError,
        TrainingError,
    )
    from sat2map.evaluation.evaluate import evaluate
    from sat2map.export.formats import export_model
    from sat2map.geo.front_door import translate_raster
    from sat2map.geo.vectorize import vectorize_raster as vectorize
    from sat2map.images.palette import Palette
    from sat2map.inference.translator import Translator
    from sat2map.models.importers import import_checkpoint
    from sat2map.models.model import Model
    from sat2map.settings import TrainSettings, load_settings
    from sat2map.training.loop import train

    __version__: str

__all__ = [
    "DataError",
    "ImageError",
    "MissingExtraError",
    "Model",
    "ModelFileError",
    "OutOfMemoryError",
    "OutputError",
    "Palette",
    "RunError",
    "Sat2MapError",
    "SettingsError",
    "TrainSettings",
    "TrainingError",
    "Translator",
    "__version__",
    "assess_map",
    "evaluate",
    "export_model",
    "find_pairs",
    "import_checkpoint",
    "load_settings",
    "train",
    "translate_raster",
    "vectorize",
]

# Where each name is defined; what is not listed is an error, in `sat2map.errors`.
_SOURCES = {
    "Model": "sat2map.models.model",
    "Palette": "sat2map.images.palette",
    "TrainSettings": "sat2map.settings",
    "Translator": "sat2map.inference.translator",
    "assess_map": "sat2map.assess",
    "evaluate": "sat2map.evaluation.evaluate",
    "export_model": "sat2map.export.formats",
    "find_pairs": "sat2map.data.pairs",
    "import_checkpoint": "sat2map.models.importers",
    "load_settings": "sat2map.settings",
    "train": "sat2map.training.loop",
    "translate_raster": "sat2map.geo.front_door",
    "vectorize": "sat2map.geo.vectorize:vectorize_raster",
}
# The modules that an extra brings, as errors name them.
_EXTRAS = {
    "evaluate": ("scipy", "train"),
    "train": ("torch", "train"),
    "translate_raster": ("rasterio", "geo"),
    "assess_map": ("rasterio", "geo"),
    "vectorize": ("rasterio", "geo"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sat2map' has no attribute '{name}'")
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("sat2map")
    if name in _EXTRAS:
        from sat2map.extras import require

        module, extra = _EXTRAS[name]
        require(module, f"sat2map.{name}", extra)
    module, _, attribute = _SOURCES.get(name, "sat2map.errors").partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
