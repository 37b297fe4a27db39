"""The generators of pytorch-CycleGAN-and-pix2pix: what their layers are called there, and both ways.

https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix, `unet_*` and `resnet_*blocks` of models/networks.py;
and the global generator of https://github.com/NVIDIA/pix2pixHD, a deeper ResNet of the same layers.
"""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import Tensor

from sat2map.errors import ModelFileError
from sat2map.models.architectures.resnet.record import num_blocks, num_downsamplings
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.importers.found import Found, StateDict, fit, norm_of, shape_of
from sat2map.settings import Skips

UNET, RESNET = "a U-Net of pytorch-CycleGAN-and-pix2pix", "a ResNet of pytorch-CycleGAN-and-pix2pix"
GLOBAL = "a global generator of pix2pixHD"


def read(weights: StateDict, skips: Skips = "auto") -> Found | None:
    """Read a generator; None where the keys are those of something else.

    Args:
        weights: Its state dict.
        skips: Order in which a U-Net concatenates. `old`: the skip comes last, as before 2017-09-22; `new`:
            it comes first, as since then; `auto`: old where the layers are of that time, else new.

    Raises:
        ModelFileError: They look like one, and do not fit; or they are those of the local enhancer.
    """
    if "model.model.0.weight" in weights:
        return _read_unet(weights, skips)
    downsamplings, blocks = _count_downsamplings(weights), _count_blocks(weights)
    if downsamplings == 2 and blocks in (6, 9):
        return _read_resnet(weights, RESNET)
    if any(name.startswith("model1_1.") for name in weights):
        raise ModelFileError("it is a local enhancer of pix2pixHD, and only the global generator can be read")
    if downsamplings > 0:
        return replace(_read_resnet(weights, GLOBAL), image_size=1024)
    return None


def unet_layers(depth: int) -> dict[str, str]:
    """Name the layers of a U-Net: there each block holds the next smaller one, a sequence in a sequence."""
    layers, block, inner = {}, "model.model", depth - 1
    for i in range(depth):
        # down: activation, convolution, norm; the block within; up: activation, convolution, norm. The first
        # has no activation, and the first and the innermost no norm on their way down.
        layers[f"down.{i}.conv"] = f"{block}.{1 if i else 0}"
        layers[f"up.{i}.conv"] = f"{block}.{5 if 0 < i < inner else 3}"
        if 0 < i < inner:
            layers[f"down.{i}.norm"] = f"{block}.2"
        if i:
            layers[f"up.{i}.norm"] = f"{block}.{6 if i < inner else 4}"
        block += ".3.model" if i else ".1.model"
    return layers


def resnet_layers(spec: GeneratorSpec, *, dropout: bool) -> dict[str, str]:
    """Name the layers of a ResNet: two flat sequences that differ in their names and in the dropout."""
    first_block = 4 + 3 * num_downsamplings(spec)
    first_up = first_block + num_blocks(spec)
    last = first_up + 3 * num_downsamplings(spec) + 1
    plain = [1, *range(4, first_block, 3), *range(first_up, last - 1, 3)]
    layers = {f"body.{i}": f"model.{i}" for at in plain for i in (at, at + 1)}
    layers[f"body.{last}"] = f"model.{last}"
    second = 6 if dropout else 5
    for i in range(first_block, first_up):
        for ours, theirs in ((1, 1), (2, 2), (6, second), (7, second + 1)):
            layers[f"body.{i}.body.{ours}"] = f"model.{i}.conv_block.{theirs}"
    return layers


def swap_skips(weights: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Exchange the two halves of what a decoder layer reads: there the skip comes first, here it is last."""
    swapped = dict(weights)
    for i in range(depth - 1):
        name = f"up.{i}.conv.weight"
        if name in weights:
            below, skip = weights[name].chunk(2)
            swapped[name] = torch.cat([skip, below])
    return swapped


def _count_downsamplings(weights: StateDict) -> int:
    """Return how many layers of stride 2 stand before the first residual block; -1 for none that fits."""
    found = [int(match[1]) for name in weights if (match := re.match(r"model\.(\d+)\.conv_block\.", name))]
    downsamplings, rest = divmod(min(found) - 4, 3) if found else (-1, 0)
    return downsamplings if rest == 0 else -1


def _count_blocks(weights: StateDict) -> int:
    """Return how many residual blocks there are."""
    return len({match[1] for name in weights if (match := re.match(r"model\.(\d+)\.conv_block\.", name))})


def _read_resnet(weights: StateDict, kind: str) -> Found:
    """Read a ResNet of any number of downsamplings and blocks (see `read`)."""
    downsamplings, blocks = _count_downsamplings(weights), _count_blocks(weights)
    first_block = 4 + 3 * downsamplings
    block = f"model.{first_block}.conv_block"
    if f"{block}.1.weight" not in weights:
        raise ModelFileError(
            f"its residual blocks pad by zeros; of {kind}, only those padded by reflection run"
        )
    architecture = "global"
    if downsamplings == 2 and blocks in (6, 9):
        architecture = "resnet6" if blocks == 6 else "resnet9"
    width, source_bands = shape_of(weights, "model.1.weight", kind)
    last = f"model.{first_block + blocks + 3 * downsamplings + 1}"
    target_bands, _ = shape_of(weights, f"{last}.weight", kind)
    dropout = f"{block}.6.weight" in weights and weights[f"{block}.6.weight"].dim() == 4
    spec = GeneratorSpec(
        architecture=architecture,
        source_bands=source_bands,
        target_bands=target_bands,
        width=width,
        depth=downsamplings,
        blocks=blocks,
        norm=norm_of(weights, "model.2", "model.1"),
        dropout=0.5 if dropout else 0,
    )
    spec, mine = fit(spec, weights, resnet_layers(spec, dropout=dropout), kind)
    return Found(kind, spec, mine, 256, 1024)


def _read_unet(weights: StateDict, skips: Skips) -> Found:
    block, depth = "model.model.1.model", 1
    while f"{block}.1.weight" in weights:
        block, depth = f"{block}.3.model", depth + 1
    width, source_bands = shape_of(weights, "model.model.0.weight", UNET)
    _, target_bands = shape_of(weights, "model.model.3.weight", UNET)
    spec = GeneratorSpec(
        source_bands=source_bands,
        target_bands=target_bands,
        width=width,
        depth=depth,
        norm=norm_of(weights, "model.model.1.model.2", "model.model.1.model.1"),
    )
    spec, mine = fit(spec, weights, unet_layers(depth), UNET)
    # Until 2017 its convolutions before batch norm had a bias. Their U-Nets concatenate in the other order.
    is_old = skips == "old" or (skips == "auto" and spec.norm == "batch" and spec.bias == "all")
    notes = ("its skips are concatenated as before 2017-09-22",) if is_old else ()
    mine = mine if is_old else swap_skips(mine, depth)
    # It is trained at the size whose bottleneck is one pixel, and has never seen more.
    return Found(UNET, spec, mine, 2**depth, 2**depth, notes)
