"""Class offsets and temperature of the palette network that a training keeps, fitted whenever it is scored.

Classes that are rare weigh more in the loss, so the network learns them as likelier than they are. As it is
used, the likeliest class shall be the one that overlaps best with real maps: offsets on the logits of classes
see to that. They are fitted on training pairs, and the scores of a validation know nothing of them.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from sat2map.data.stream import ShardStream
from sat2map.evaluation.calibration import fit_class_offsets, fit_temperature
from sat2map.inference import Translator
from sat2map.inference.backends.torch.engine import TorchEngine
from sat2map.models.architectures.registry import find_architecture
from sat2map.models.header import ModelHeader
from sat2map.training.setup import Setup

OFFSET_PAIRS = 32  # 4,096 pixels of each
TEMPERATURE_PAIRS = 16


def calibrated(setup: Setup, header: ModelHeader) -> tuple[nn.Module, ModelHeader]:
    """Return the best generator as it is used: with class offsets, and a header with the temperature.

    A generator that draws an image comes back as it is.
    """
    generator = setup.networks.best_generator
    if not header.generator.colours:
        return generator, header
    known = setup.train.sample if isinstance(setup.train, ShardStream) else setup.train
    offsets = fit_class_offsets(_translator(setup, generator, header), known.sample(OFFSET_PAIRS))
    generator = copy.deepcopy(generator)
    generator.load_state_dict(add_class_offsets(generator.state_dict(), header, offsets))
    temperature = fit_temperature(_translator(setup, generator, header), setup.val.sample(TEMPERATURE_PAIRS))
    return generator, header.model_copy(update={"temperature": temperature})


def add_class_offsets(
    weights: dict[str, Tensor], header: ModelHeader, offsets: np.ndarray[tuple[int], np.dtype[np.float32]]
) -> dict[str, Tensor]:
    """Add float32 (classes,) to the logits of a palette network's colours, in the bias of its last layer."""
    assert header.palette is not None
    layer = find_architecture(header.generator.architecture).output_layer(header.generator)
    of_colours = torch.from_numpy(offsets[header.palette.class_of_colour])
    name = f"{layer.name}.bias"
    return {**weights, name: weights[name] + of_colours.repeat_interleave(layer.phases).to(weights[name])}


def _translator(setup: Setup, generator: nn.Module, header: ModelHeader) -> Translator:
    return Translator(TorchEngine(generator, header, setup.device, setup.dtype))
