"""Checkpoints of PyTorch: a plain state dict, and one under the names of pytorch-CycleGAN-and-pix2pix."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor

from sat2map.errors import ModelFileError
from sat2map.files import atomic_write_bytes
from sat2map.models.architectures.resnet.record import num_blocks, num_downsamplings
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.importers.cyclegan import resnet_layers, swap_skips, unet_layers
from sat2map.models.model_file import read_header, read_weights


def export_pth(model: Path, output: Path) -> None:
    """Write a generator's weights as a plain state dict that `torch.load(..., weights_only=True)` reads.

    The README has the thirty lines of PyTorch that use it.

    Raises:
        ModelFileError: The model file cannot be used.
        OutputError: The output cannot be written.
    """
    _write(read_weights(model), output)


def export_cyclegan(model: Path, output: Path) -> str:
    """Write a generator as a checkpoint of pytorch-CycleGAN-and-pix2pix, which then draws the same.

    It belongs into `checkpoints/NAME/latest_net_G.pth` there. A class head is left out. Returns the options
    with which that project builds the network.

    Raises:
        ModelFileError: The model file cannot be used, or that project has no such network.
        OutputError: The output cannot be written.
    """
    spec = read_header(model).generator
    try:
        weights = _in_their_form(spec, read_weights(model))
    except ModelFileError as error:
        raise ModelFileError(f"{model} cannot go to pytorch-CycleGAN: {error}") from None
    _write(weights, output)
    return _options(spec)


def _write(weights: dict[str, Tensor], output: Path) -> None:
    content = io.BytesIO()
    torch.save(weights, content)
    atomic_write_bytes(output, content.getvalue())


def _in_their_form(spec: GeneratorSpec, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    _reject_unsupported(spec)
    is_unet = spec.architecture == "unet"
    layers = unet_layers(spec.depth) if is_unet else resnet_layers(spec, dropout=spec.dropout > 0)
    last = next(name for name, theirs in layers.items() if theirs == _last_layer(spec))
    weights = swap_skips(weights, spec.depth) if is_unet else weights
    theirs = {}
    for name, tensor in weights.items():
        layer, _, entry = name.rpartition(".")
        if layer == last and spec.classes:
            # Of a transposed convolution the outputs are the second dimension of the weight.
            outputs = 1 if is_unet and entry == "weight" else 0
            tensor = tensor.narrow(outputs, 0, spec.target_bands).clone()
        convolves = weights[f"{layer}.weight"].dim() == 4
        if entry == "bias" and convolves and layer != last and spec.norm != "instance":
            if tensor.any():
                raise ModelFileError(
                    f"{layer} has a bias, which its networks with {spec.norm} norm lack in that layer",
                    hint="train with instance norm, or fine-tune a model that was imported from there",
                )
            continue
        theirs[f"{layers[layer]}.{entry}"] = tensor
    return theirs


def _reject_unsupported(spec: GeneratorSpec) -> None:
    if spec.architecture not in ("unet", "resnet6", "resnet9"):
        raise ModelFileError(f"it has no generator like {spec.architecture}")
    if spec.upsample != "transpose":
        raise ModelFileError(f"it knows no {spec.upsample} upsampling, only the transposed convolution")
    if spec.norm == "group":
        raise ModelFileError("it knows no group norm, only batch, instance and none")
    if spec.norm == "instance" and spec.bias == "last":
        raise ModelFileError("its networks with instance norm have a bias in every layer")
    if spec.architecture == "unet" and spec.depth < 5:
        raise ModelFileError(f"its U-Nets have five down-samplings or more, this one {spec.depth}")


def _last_layer(spec: GeneratorSpec) -> str:
    if spec.architecture == "unet":
        return "model.model.3"
    return f"model.{4 + 6 * num_downsamplings(spec) + num_blocks(spec) + 1}"


def _options(spec: GeneratorSpec) -> str:
    names = {"resnet6": "resnet_6blocks", "resnet9": "resnet_9blocks"}
    name = names.get(spec.architecture, f"unet_{2**spec.depth}")
    options = f"--netG {name} --ngf {spec.width} --norm {spec.norm}"
    options += f" --input_nc {spec.source_bands} --output_nc {spec.target_bands}"
    options += "" if spec.dropout else " --no_dropout"
    if spec.architecture == "unet" and spec.depth not in (7, 8):
        options += f" (and a line for {name} with {spec.depth} down-samplings in its models/networks.py)"
    return options
