"""What an importer hands back, and the check that the weights fit the network they were taken for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sat2map.errors import ModelFileError
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.settings import Norm

StateDict = Mapping[str, Tensor]
Layers = Mapping[str, str]  # a layer's name here → its name there


@dataclass(frozen=True)
class Found:
    """A generator of another project, put into ours.

    Attributes:
        kind: What it is, in words.
        spec: The network.
        weights: Its state dict under our names.
        image_size: Side of the images it was made for (px).
        max_untiled_size: Longest side to translate in one piece (px).
        notes: What the user should know about how it was read.
    """

    kind: str
    spec: GeneratorSpec
    weights: dict[str, Tensor]
    image_size: int
    max_untiled_size: int
    notes: tuple[str, ...] = ()


def shape_of(weights: StateDict, name: str, kind: str) -> tuple[int, int]:
    """Return the first two dimensions of a convolution's weight.

    Raises:
        ModelFileError: There is no such weight, or it is none of a convolution.
    """
    if name not in weights or weights[name].dim() != 4:
        raise ModelFileError(f"its keys look like {kind}, but {name} is missing or not that of a convolution")
    return weights[name].shape[0], weights[name].shape[1]


def norm_of(weights: StateDict, norm: str, convolution: str) -> Norm:
    """Tell the norm from a norm layer's entries, and from whether the convolution before it has a bias.

    Instance norm that tracks statistics is batch norm here (see `track_as_batch_norm`).

    Raises:
        ModelFileError: It normalises in a way that is not read.
    """
    if f"{norm}.weight" not in weights:
        if is_tracked(weights, norm):
            return "batch"
        # Instance norm has no weights; in files of PyTorch before 0.4 it has statistics that nothing uses.
        return "instance" if f"{convolution}.bias" in weights else "none"
    if f"{norm}.running_mean" not in weights:
        raise ModelFileError(
            "its norm layers have weights but no running statistics: they are instance norm with weights, or "
            "batch norm that tracks none; only batch norm with statistics and plain instance norm can be read"
        )
    return "batch"


def is_tracked(weights: StateDict, norm: str) -> bool:
    """Say whether a norm layer is an instance norm whose statistics count in eval mode.

    PyTorch before 0.4 kept statistics that nothing used; the counter of batches is there since 0.4.1.
    """
    return f"{norm}.weight" not in weights and f"{norm}.num_batches_tracked" in weights


def track_as_batch_norm(weights: StateDict) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Turn instance norm with tracked statistics into batch norm with the same, and say so.

    Both normalise with the tracked statistics in eval mode, and with those of the image when they are in
    training mode with a batch of one, as `paper` mode has them.
    """
    suffix = ".num_batches_tracked"
    norms = [name.removesuffix(suffix) for name in weights if name.endswith(suffix)]
    tracked = [norm for norm in norms if is_tracked(weights, norm)]
    if not tracked:
        return dict(weights), ()
    changed = dict(weights)
    for norm in tracked:
        mean = weights[f"{norm}.running_mean"]
        changed[f"{norm}.weight"], changed[f"{norm}.bias"] = torch.ones_like(mean), torch.zeros_like(mean)
    note = (
        "its instance norm tracks statistics, which eval mode uses; paper mode uses those of the image, as "
        "test scripts that leave the network in training mode do"
    )
    return changed, (note,)


def _rename(weights: StateDict, layers: Layers, norm: Norm) -> dict[str, Tensor]:
    """Return the weights under our names; what is in no layer keeps its own."""
    ours = {theirs: name for name, theirs in layers.items()}
    renamed = {}
    for name, tensor in weights.items():
        layer, _, entry = name.rpartition(".")
        unused = norm == "instance" and entry in ("running_mean", "running_var", "num_batches_tracked")
        if not (unused and layer in ours):
            renamed[f"{ours.get(layer, layer)}.{entry}"] = tensor
    return renamed


def fit(
    spec: GeneratorSpec, weights: StateDict, layers: Layers, kind: str
) -> tuple[GeneratorSpec, dict[str, Tensor]]:
    """Rename weights, find out which convolutions have a bias, and check every name and shape.

    Counters of batches may be missing, as in old files. `kind` is for the error.

    Raises:
        ModelFileError: No form of the network has these weights.
    """
    mine, misfits = _rename(weights, layers, spec.norm), []
    for bias in ("auto", "last", "all"):
        candidate = spec.model_copy(update={"bias": bias})
        with torch.device("meta"):
            expected = build_generator(candidate).state_dict()
        counters = {name: torch.tensor(0) for name in expected if name.endswith("num_batches_tracked")}
        filled = {**counters, **mine}
        misfit = list(_misfits(expected, filled, layers))
        if not misfit:
            return candidate, filled
        misfits.append(misfit)
    misfit = min(misfits, key=len)
    more = f" (and {len(misfit) - 1} more)" if len(misfit) > 1 else ""
    raise ModelFileError(f"its keys look like {kind}, but {misfit[0]}{more}")


def _misfits(expected: StateDict, found: StateDict, layers: Layers) -> Iterable[str]:
    for name in {**expected, **found}:
        layer, _, entry = name.rpartition(".")
        theirs = f"{layers.get(layer, layer)}.{entry}"
        if name not in found:
            yield f"{theirs} is missing"
        elif name not in expected:
            yield f"{theirs} belongs to no layer"
        elif found[name].shape != expected[name].shape:
            yield f"{theirs} has shape {tuple(found[name].shape)}, not {tuple(expected[name].shape)}"
