"""The generator of the satellite-mapping tutorial that this project grew out of (`DownConvLayer1…`)."""

from __future__ import annotations

from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.importers.found import Found, StateDict, fit, norm_of, shape_of

KIND = "the U-Net of the satellite-mapping tutorial"
SIZE = 512  # px; all that the tutorial trains at


def read(weights: StateDict) -> Found | None:
    """Read a generator; None where the keys are those of something else.

    Raises:
        ModelFileError: They look like one, and do not fit.
    """
    if "DownConvLayer1.0.weight" not in weights:
        return None
    depth = 2
    while f"DownConvLayer{depth}.Layer.0.weight" in weights:
        depth += 1
    width, source_bands = shape_of(weights, "DownConvLayer1.0.weight", KIND)
    _, target_bands = shape_of(weights, "FinalConvLayer.0.weight", KIND)
    spec = GeneratorSpec(
        architecture="tutorial",
        source_bands=source_bands,
        target_bands=target_bands,
        width=width,
        depth=depth,
        norm=norm_of(weights, "DownConvLayer2.Layer.1", "DownConvLayer2.Layer.0"),
    )
    spec, mine = fit(spec, weights, _layers(depth), KIND)
    return Found(KIND, spec, mine, SIZE, 1024)


def _layers(depth: int) -> dict[str, str]:
    inner = depth - 1
    layers = {"down.0.conv": "DownConvLayer1.0", "up.0.conv": "FinalConvLayer.0"}
    for i in range(1, inner):
        layers[f"down.{i}.conv"] = f"DownConvLayer{i + 1}.Layer.0"
        layers[f"down.{i}.norm"] = f"DownConvLayer{i + 1}.Layer.1"
    layers[f"down.{inner}.conv"] = "BottleNeck.0"
    for i in range(1, depth):
        layers[f"up.{i}.conv"] = f"UpConvLayer{depth - i}.Layer.0"
        layers[f"up.{i}.norm"] = f"UpConvLayer{depth - i}.Layer.1"
    return layers
