"""A model's description for catalogues: STAC with the Machine Learning Model extension.

See https://github.com/stac-extensions/mlm. The file names the model relative to itself.
"""

from __future__ import annotations

import json
import math
import os
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open

from sat2map.files import atomic_write_text, sha256_of
from sat2map.images.palette.palette import describe_classes
from sat2map.models.architectures.registry import find_architecture
from sat2map.models.model_file import ModelHeader

EXTENSIONS: Final = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json" for name in ("mlm/v1.4.0", "raster/v1.1.0")
)
_STATISTICS: Final = ("running_mean", "running_var", "num_batches_tracked")
FREE: Final = -1  # a dimension of any size


def export_mlm(model: Path, header: ModelHeader, output: Path) -> None:
    """Write a STAC item of a model.

    Raises:
        ModelFileError: The model file cannot be used.
        OutputError: The output cannot be written.
    """
    item = describe_model(header, model.stem, _count_parameters(model))
    href = Path(os.path.relpath(model.absolute(), output.absolute().parent)).as_posix()
    item["assets"]["model"] |= {"href": href if href.startswith("..") else f"./{href}"}
    item["properties"]["sat2map:model_sha256"] = sha256_of(model)
    atomic_write_text(output, json.dumps(item, indent=2, ensure_ascii=False) + "\n")


def describe_model(header: ModelHeader, name: str, parameters: int) -> dict[str, Any]:
    """Return the item of a model, whose asset has no address yet."""
    spec = header.generator
    size = header.image_size or FREE
    bands = [band.name for band in header.bands]
    sees = {
        "name": "image",
        "description": "Image in [-1, 1], which the limits of each band become; sides are multiples of "
        f"{spec.size_divisor} px",
        "bands": bands,
        "input": {
            "shape": [FREE, spec.source_bands, size, size],
            "dim_order": ["batch", "channel", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": [
            {"type": "min-max", "minimum": band.low, "maximum": band.high} for band in header.bands
        ],
    }
    classes = describe_classes(header.palette) if header.palette else []
    task = "semantic-segmentation" if spec.colours or spec.classes else "generative"
    channels = spec.colours or spec.target_bands + spec.classes
    what = "Logits of the palette's colours" if spec.colours else "Map in [-1, 1], then logits of classes"
    gives = {
        "name": "map",
        "description": what,
        "tasks": [task],
        "result": {
            "shape": [FREE, channels, size, size],
            "dim_order": ["batch", "channel", "height", "width"],
            "data_type": "float32",
        },
        "classification:classes": classes,
    }
    plain = re.sub(r"[^A-Za-z0-9_.-]+", " ", name).strip(" ._-")
    made = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": name,
        "geometry": None,
        "properties": {
            "datetime": made,
            "description": header.notes or "Draws maps of satellite and aerial images.",
            "mlm:name": f"sat2map {plain}".strip(),
            "mlm:architecture": find_architecture(spec.architecture).label,
            "mlm:tasks": [task],
            "mlm:framework": "PyTorch",
            "mlm:total_parameters": parameters,
            "mlm:input": [sees],
            "mlm:output": [gives],
            **({"mlm:hyperparameters": _flat(header.settings)} if header.settings else {}),
            **({"gsd": header.gsd} if header.gsd else {}),
            "sat2map:gsd_range": header.gsd_range,
            "sat2map:scores": {name: score for name, score in header.scores.items() if math.isfinite(score)},
            "sat2map:licenses": header.licenses,
        },
        "assets": {
            "model": {
                "type": "application/octet-stream; application=safetensors",
                "title": "Model file of sat2map (safetensors; the header is the key sat2map of its metadata)",
                "roles": ["mlm:model", "mlm:weights"],
                "mlm:artifact_type": "safetensors",
                "raster:bands": [
                    {"name": name, **({"data_type": "uint8"} if header.limits is None else {})}
                    for name in bands
                ],
            }
        },
        "links": [],
    }


def _count_parameters(model: Path) -> int:
    """Return how many numbers a network has learnt; statistics of normalisation are not counted."""
    with safe_open(model, framework="np") as tensors:
        return sum(
            math.prod(tensors.get_slice(name).get_shape())
            for name in tensors.keys()  # noqa: SIM118 - no dict
            if not name.endswith(_STATISTICS)
        )


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of all groups by their names, which are unique."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat
