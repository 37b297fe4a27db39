"""`import_checkpoint`: the generator of another project becomes a model file, recognised by its keys."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from sat2map.errors import ModelFileError, OutputError, nearest
from sat2map.files import locks, refuse_existing
from sat2map.images.palette import Palette
from sat2map.models.header import BandSpec
from sat2map.models.importers import cyclegan, tutorial
from sat2map.models.importers.found import Found, StateDict, track_as_batch_norm
from sat2map.models.importers.state_dicts import NamedStateDict, read_state_dicts, split_by_prefix
from sat2map.models.model_file import HEADER_KEY, ModelHeader, save_model
from sat2map.settings import Direction, InferenceMode, Skips

__all__ = ["Found", "Skips", "detect_generator", "import_checkpoint"]

KEYS: Final = {
    "pytorch-CycleGAN-and-pix2pix and pix2pixHD": "model.model.0.weight or model.10.conv_block.1.weight",
    "the satellite-mapping tutorial": "DownConvLayer1.0.weight",
}
# First layers of discriminators, of the same code bases and of ours; and what only generators have.
_DISCRIMINATOR: Final = re.compile(
    r"(model\.0\.weight|net\.0\.weight|ConvLayer1\.0\.weight|scale\d+_layer0\.0\.weight|layer\d+\.0\.weight)$"
)
_GENERATOR: Final = re.compile(r"block|res\d|up|decod|deconv", re.IGNORECASE)
# Images have fewer; networks of pix2pixHD for label maps have one band per class, and one for edges.
MAX_IMAGE_BANDS: Final = 4


class _UnknownNetworkError(ModelFileError):
    """A state dict that is of no network we know."""


class _DiscriminatorError(ModelFileError):
    """A state dict that is a discriminator's."""


@locks("output")
def import_checkpoint(
    checkpoint: Path,
    output: Path,
    *,
    direction: Direction = "source-to-target",
    mode: InferenceMode = "eval",
    palette: str = "none",
    gsd: float | None = None,
    bands: Sequence[str] = (),
    generator: str | None = None,
    skips: Skips = "auto",
    overwrite: bool = False,
) -> Found:
    """Write a model file from a checkpoint (`.pth`, `.pt`, `.safetensors`) of another project's generator.

    Args:
        checkpoint: The checkpoint, whose tensors alone are read.
        output: The model file.
        direction: Which side of the pairs was the input.
        mode: `eval`, or `paper` to run it as the test script of its code base does where batch norm is used:
            with the statistics of the image itself, and dropout.
        palette: Map classes that it draws: a built-in name, a JSON file, or `none`.
        gsd: Metres per pixel of its images, if known.
        bands: Names of the bands of its input, in their order.
        generator: Key of the generator in a file of several; None: the first one.
        skips: Order in which a U-Net of pytorch-CycleGAN concatenates (see `cyclegan.read`).
        overwrite: Whether an existing file may be replaced.

    Returns:
        What was found.

    Raises:
        ModelFileError: The checkpoint is damaged, of an unknown network, or not a generator.
        OutputError: The output exists or cannot be written.
        SettingsError: There is no such palette.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    if output.suffix.lower() != ".safetensors":
        raise OutputError(f"{output} does not end in .safetensors, as model files do", hint="rename it")
    refuse_existing(output, overwrite=overwrite)
    colours = None if palette == "none" else Palette.load(palette)
    found = _pick(checkpoint, generator, skips)
    spec = found.spec
    if colours is not None and spec.target_bands != 3:
        raise ModelFileError(
            f"{checkpoint} draws {spec.target_bands} bands, and palette '{palette}' needs 3",
            hint="leave it out",
            setting="palette",
        )
    if bands and len(bands) != spec.source_bands:
        raise ModelFileError(
            f"{checkpoint} takes {spec.source_bands} bands, and {len(bands)} are named", setting="bands"
        )
    if not bands and spec.source_bands > MAX_IMAGE_BANDS:
        raise ModelFileError(
            f"{checkpoint} takes {spec.source_bands} bands, as networks for label maps do, which get a band "
            "for each class and not an image",
            hint="if its input is an image, name its bands",
            setting="bands",
        )
    header = ModelHeader(
        created_with=version("sat2map"),
        generator=spec,
        direction=direction,
        image_size=found.image_size,
        max_untiled_size=found.max_untiled_size,
        bands=tuple(BandSpec(name=name) for name in bands),
        gsd=gsd,
        inference_mode=mode,
        palette=colours,
        notes="; ".join([f"imported from {checkpoint.name}, {found.kind}", *found.notes]),
    )
    save_model(output, found.weights, header)
    return found


def detect_generator(weights: StateDict, skips: Skips = "auto") -> Found:
    """Find out by names and shapes whose generator a state dict is.

    Raises:
        ModelFileError: It is of no network that we know, or a discriminator.
    """
    weights, notes = track_as_batch_norm(weights)
    if notes and skips == "auto":
        skips = "new"  # statistics have been tracked since 2018
    found = cyclegan.read(weights, skips) or tutorial.read(weights)
    if found is not None:
        return replace(found, notes=(*found.notes, *notes))
    if _is_discriminator(weights):
        raise _DiscriminatorError(
            "it is a discriminator, which draws nothing", hint="name the generator (…_net_G.pth)"
        )
    expected = "; ".join(f"{keys} ({project})" for project, keys in KEYS.items())
    raise _UnknownNetworkError(
        f"it is of an unknown network: expected keys such as {expected}; found {', '.join(list(weights)[:3])}"
    )


def _is_discriminator(weights: StateDict) -> bool:
    """A discriminator begins like one, has no part that only generators have, and ends in one channel."""
    kernels = [tensor for tensor in weights.values() if tensor.dim() == 4]
    begins = any(_DISCRIMINATOR.match(name) for name in weights)
    return (
        begins
        and not any(_GENERATOR.search(name) for name in weights)
        and (len(kernels) < 2 or kernels[-1].shape[0] == 1)
    )


def _pick(checkpoint: Path, key: str | None, skips: Skips) -> Found:
    """Return the generator of a checkpoint; where there are several, a note says which one."""
    _reject_our_own(checkpoint)
    generators, refused = _find_generators(read_state_dicts(checkpoint), skips)
    if not generators:
        # The reason that helps most: a generator that does not fit, then an unknown network.
        ranks = {_UnknownNetworkError: 1, _DiscriminatorError: 2}
        first = min(refused, key=lambda error: ranks.get(type(error), 0))
        raise ModelFileError(f"{checkpoint} cannot be imported: {first.problem}", hint=first.hint)
    if key is not None and key not in generators:
        known = nearest(key, [name for name in generators if name] or ["(the whole file)"])
        raise ModelFileError(
            f"{checkpoint} holds no generator under the key '{key}'", hint=known, setting="generator"
        )
    chosen = next(iter(generators)) if key is None else key
    found = generators[chosen]
    if len(generators) > 1:
        note = f"of the generators {', '.join(generators)} in the file, {chosen} was taken"
        found = replace(found, notes=(*found.notes, note))
    return replace(found, weights=_in_full_precision(found.weights, checkpoint))


def _find_generators(
    state_dicts: list[NamedStateDict], skips: Skips
) -> tuple[dict[str, Found], list[ModelFileError]]:
    """Return the generators by key, whole state dicts or parts of one, and why the others are none."""
    generators: dict[str, Found] = {}
    refused = []
    for key, weights in state_dicts:
        try:
            generators[key] = detect_generator(weights, skips)
        except ModelFileError as reason:
            parts: dict[str, Found] = {}
            for prefix, part in split_by_prefix(weights):
                with contextlib.suppress(ModelFileError):
                    parts[f"{key}.{prefix}" if key else prefix] = detect_generator(part, skips)
            generators |= parts
            refused += [] if parts else [reason]
    return generators, refused


def _reject_our_own(checkpoint: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if checkpoint.suffix.lower() == ".safetensors" and checkpoint.is_file():
        try:
            with safe_open(checkpoint, framework="pt") as file:
                ours = HEADER_KEY in (file.metadata() or {})
        except SafetensorError:
            return  # reading it says so
        if ours:
            raise ModelFileError(f"{checkpoint} is a model file of sat2map already", hint="use it as it is")


def _in_full_precision(weights: dict[str, Tensor], checkpoint: Path) -> dict[str, Tensor]:
    full = {name: w.float() if w.is_floating_point() else w for name, w in weights.items()}
    bad = next((name for name, w in full.items() if not torch.isfinite(w).all()), None)
    if bad is not None:
        raise ModelFileError(f"{checkpoint} has weights that are not finite ({bad}): its training diverged")
    return full
