"""Owns `import_checkpoint`: the generator of another project becomes a model file, recognised by its keys."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from sat2map.errors import ModelFileError, OutputError
from sat2map.images.palette import Palette
from sat2map.models.importers import cyclegan, pix2pixhd, tutorial
from sat2map.models.importers.found import Found, StateDict
from sat2map.models.importers.state_dicts import read_state_dicts
from sat2map.models.model_file import HEADER_KEY, InferenceMode, ModelHeader, save_model
from sat2map.settings import Direction

__all__ = ["Found", "import_checkpoint", "recognise"]

READERS: Final = (cyclegan.read, pix2pixhd.read, tutorial.read)
KEYS: Final = {
    "pytorch-CycleGAN-and-pix2pix and pix2pixHD": "model.model.0.weight or model.10.conv_block.1.weight",
    "the satellite-mapping tutorial": "DownConvLayer1.0.weight",
}
# First layers of discriminators, of the same code bases and of ours.
DISCRIMINATOR: Final = re.compile(
    r"(model\.0\.weight|net\.0\.weight|ConvLayer1\.0\.weight|scale\d+_layer0\.0\.weight|layer\d+\.0\.weight)$"
)


def import_checkpoint(
    checkpoint: Path,
    output: Path,
    *,
    direction: Direction = "source-to-target",
    mode: InferenceMode = "eval",
    palette: str = "none",
    gsd: float | None = None,
    overwrite: bool = False,
) -> Found:
    """Write a model file from a checkpoint (`.pth`, `.pt`, `.safetensors`) of another project's generator.

    Args:
        checkpoint: The checkpoint, whose tensors alone are read.
        output: The model file.
        direction: Which side of the pairs was the input.
        mode: `eval`, or `paper` to run it as the test script of its code base does where batch norm is used:
            with the statistics of the picture itself, and dropout.
        palette: Map classes that it draws: a built-in name, a JSON file, or `none`.
        gsd: Metres a pixel of its images, if known.
        overwrite: Whether an existing file may be replaced.

    Returns:
        What was found.

    Raises:
        ModelFileError: The checkpoint is damaged, of an unknown network, or no generator.
        OutputError: The output exists or cannot be written.
        SettingsError: There is no such palette.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    if output.suffix.lower() != ".safetensors":
        raise OutputError(f"--to {output} does not end in .safetensors, as model files do: rename it")
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists: give --to another name, or add --overwrite")
    colours = None if palette == "none" else Palette.load(palette)
    found = _first_generator(checkpoint)
    if colours is not None and found.spec.target_bands != 3:
        raise ModelFileError(
            f"{checkpoint} draws {found.spec.target_bands} bands, and palette '{palette}' needs 3: leave it "
            "out"
        )
    header = ModelHeader(
        created_with=version("sat2map"),
        generator=found.spec,
        direction=direction,
        image_size=found.image_size,
        max_untiled_size=found.max_untiled_size,
        gsd=gsd,
        inference_mode=mode,
        palette=colours,
        notes=f"imported from {checkpoint.name}, {found.kind}",
    )
    save_model(output, found.weights, header)
    return found


def recognise(weights: StateDict) -> Found:
    """Find out by names and shapes whose generator a state dict is.

    Raises:
        ModelFileError: It is nobody's that we know, or a discriminator.
    """
    for read in READERS:
        found = read(weights)
        if found is not None:
            return found
    if any(DISCRIMINATOR.match(name) for name in weights):
        raise ModelFileError("it is a discriminator, which draws nothing: name the generator (…_net_G.pth)")
    expected = "; ".join(f"{keys} ({project})" for project, keys in KEYS.items())
    raise ModelFileError(
        f"it is of an unknown network: expected keys such as {expected}; found {', '.join(list(weights)[:3])}"
    )


def _first_generator(checkpoint: Path) -> Found:
    """Return the first state dict that is a generator's; the complaint is about the first of all."""
    _refuse_our_own(checkpoint)
    refused: list[ModelFileError] = []
    for weights in read_state_dicts(checkpoint):
        try:
            found = recognise(weights)
        except ModelFileError as error:
            refused.append(error)
            continue
        return replace(found, weights=_in_full_precision(found.weights, checkpoint))
    raise ModelFileError(f"{checkpoint} cannot be imported: {refused[0]}")


def _refuse_our_own(checkpoint: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if checkpoint.suffix.lower() == ".safetensors" and checkpoint.is_file():
        try:
            with safe_open(checkpoint, framework="pt") as file:
                ours = HEADER_KEY in (file.metadata() or {})
        except SafetensorError:
            return  # whoever reads it next says so
        if ours:
            raise ModelFileError(f"{checkpoint} is a model file of sat2map already: use it as it is")


def _in_full_precision(weights: dict[str, Tensor], checkpoint: Path) -> dict[str, Tensor]:
    full = {name: w.float() if w.is_floating_point() else w for name, w in weights.items()}
    bad = next((name for name, w in full.items() if not torch.isfinite(w).all()), None)
    if bad is not None:
        raise ModelFileError(f"{checkpoint} has weights that are not finite ({bad}): its training diverged")
    return full
