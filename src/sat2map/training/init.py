"""Initialisation from a model file: its generator, fitted to the data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from sat2map.errors import ModelFileError, RunError, SettingsError
from sat2map.images.bands import Limits
from sat2map.models.architectures.record import OutputLayer
from sat2map.models.architectures.registry import find_architecture
from sat2map.models.architectures.spec import GeneratorSpec, spec_of
from sat2map.models.model_file import read_header, read_weights
from sat2map.settings import TrainSettings, change, explain
from sat2map.training.networks import Networks

START = "start.json"
TAKEN = ("width", "depth", "norm", "upsample")  # settings that are the file's, whatever the recipe says


@dataclass(frozen=True)
class PretrainedInit:
    """A generator to start from.

    Attributes:
        file: The model file.
        spec: Its network.
        weights: Its weights; None where a checkpoint has newer ones.
        licenses: Licences of the parts that others made, which stay with the weights.
        limits: Of each band, where its sources had more than 8 bits.
    """

    file: Path
    spec: GeneratorSpec
    weights: Mapping[str, Tensor] | None
    licenses: Mapping[str, str] = field(default_factory=dict)
    limits: Limits | None = None

    def fit_settings(self, settings: TrainSettings) -> TrainSettings:
        """Return the settings with the network of the file.

        Raises:
            SettingsError: The other settings do not fit that network.
        """
        taken = {name: getattr(self.spec, name) for name in TAKEN}
        where = f"the network of {self.file} with these settings"
        fitted = change(settings, where, **taken, generator=self.spec.architecture)
        try:
            spec_of(fitted)
        except SettingsError as error:
            raise SettingsError(f"{where}: {error.problem}", hint=error.hint, setting=error.setting) from None
        return fitted

    def fit_spec(self, spec: GeneratorSpec) -> GeneratorSpec:
        """Return the specification of the run with what no setting says of the file's network."""
        return spec.model_copy(update={"bias": self.spec.bias, "blocks": self.spec.blocks})

    def load_into(self, networks: Networks, spec: GeneratorSpec) -> None:
        """Copy the weights into the generator and its average, both of `spec`.

        Raises:
            ModelFileError: The weights do not fit the header of their file.
        """
        if self.weights is None:
            return
        try:
            weights = _fitted(self.weights, networks.generator.state_dict(), self.spec, spec)
            networks.generator.load_state_dict(weights)
        except (RuntimeError, KeyError):
            raise ModelFileError(f"{self.file}: its weights do not fit the network of its header") from None
        if networks.average is not None:
            networks.average.load_state_dict(weights)

    def describe(self, spec: GeneratorSpec) -> str:
        """Say in words what a run of `spec` starts from, and what had to be fitted."""
        said = [f"fine-tuned from {self.file.name}"]
        if spec.source_bands != self.spec.source_bands:
            said.append(
                f"its first layer, made for {self.spec.source_bands} bands, was fitted to {spec.source_bands}"
            )
        before, after = ((it.target_bands, it.classes) for it in (self.spec, spec))
        if self.spec.colours != spec.colours:
            said.append(
                f"its last layer, made for {self.spec.colours} colours, starts anew for {spec.colours}"
            )
        elif before != after:
            said.append(
                f"its last layer, made for {before[0]} bands and {before[1]} classes, was fitted to "
                f"{after[0]} and {after[1]}"
            )
        return "; ".join(said)

    def note(self) -> str:
        """Return what the run folder keeps of it, for a resume (see `read_run_init`)."""
        values: dict[str, Any] = {
            "file": str(self.file.absolute()),
            "generator": self.spec.model_dump(mode="json"),
        }
        values |= {"licenses": dict(self.licenses), "limits": self.limits}
        return json.dumps(values, indent=2) + "\n"


def read_init(file: Path) -> PretrainedInit:
    """Read the generator of a model file.

    Raises:
        ModelFileError: The file cannot be used.
    """
    header = read_header(Path(file))
    weights = read_weights(Path(file))
    return PretrainedInit(Path(file), header.generator, weights, header.licenses, header.limits)


def read_run_init(run: Path, *, with_weights: bool) -> PretrainedInit | None:
    """Read what a run started from; None where that was chance.

    The weights are needed where the run has no checkpoint yet.

    Raises:
        RunError: The note is damaged.
        ModelFileError: The file that it started from is needed and cannot be used.
    """
    path = run / START
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text("utf-8"))
        file, spec = Path(values["file"]), GeneratorSpec(**values["generator"])
        licenses = values.get("licenses", {})
        limits = tuple((float(low), float(high)) for low, high in values.get("limits") or ()) or None
    except ValidationError as error:
        raise RunError(f"{path} does not fit this version: {explain(error)}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read ({error}): it is damaged, start a new run") from None
    return read_init(file) if with_weights else PretrainedInit(file, spec, None, licenses, limits)


def _fitted(
    weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor], old: GeneratorSpec, new: GeneratorSpec
) -> dict[str, Tensor]:
    """Return a state dict of the shapes of `fresh`."""
    architecture = find_architecture(new.architecture)
    first, last = f"{architecture.input_layer}.weight", architecture.output_layer(new)
    fitted = dict(weights)
    if weights[first].shape != fresh[first].shape:
        fitted[first] = _fit_inputs(weights[first], new.source_bands)
    for name in (f"{last.name}.weight", f"{last.name}.bias"):
        if name not in fresh or weights[name].shape == fresh[name].shape:
            continue
        # Another palette has other colours: no output for one of them says anything about another.
        fitted[name] = (
            fresh[name] if new.colours else _fit_outputs(weights[name], fresh[name], last, old, new)
        )
    return fitted


def _fit_inputs(weight: Tensor, bands: int) -> Tensor:
    """Fit a convolution (outputs, inputs, k, k) to other bands.

    What was grey draws the same as RGB, and the other way round. Of other numbers, the bands that both have
    stay as they are, and new ones have no say at first.
    """
    inputs = weight.shape[1]
    if bands == 1:
        return weight.sum(dim=1, keepdim=True)
    if inputs == 1:
        return weight.repeat(1, bands, 1, 1) / bands
    fitted = weight.new_zeros(weight.shape[0], bands, *weight.shape[2:])
    shared = min(bands, inputs)
    fitted[:, :shared] = weight[:, :shared]
    return fitted


def _fit_outputs(
    weight: Tensor, fresh: Tensor, layer: OutputLayer, old: GeneratorSpec, new: GeneratorSpec
) -> Tensor:
    """Fit an entry of the last layer to other bands and classes; what is new keeps its random start."""
    transposed, phases = layer.transposed and weight.dim() == 4, layer.phases
    fitted = fresh.clone()
    theirs, mine = (tensor.transpose(0, 1) if transposed else tensor for tensor in (weight, fitted))
    theirs, mine = (tensor.view(-1, phases, *tensor.shape[1:]) for tensor in (theirs, mine))
    bands, wanted = old.target_bands, new.target_bands
    if wanted == 1:
        mine[:1] = theirs[:bands].mean(dim=0, keepdim=True)
    elif bands == 1:
        mine[:wanted] = theirs[:1].expand(wanted, *theirs.shape[1:])
    else:
        shared = min(bands, wanted)
        mine[:shared] = theirs[:shared]
    if new.classes == old.classes:
        mine[wanted:] = theirs[bands:]
    return fitted
